"""DC5: a detector without a pyramid, on a dilated last stage.

The last stage of a ResNet keeps the stride of the stage before it (16 px, not 32) and its 3x3
convolutions are dilated by two, so that each still sees the extent that it saw: strides
(1, 2, 2, 1) and dilations (1, 1, 1, 2), as mmdet's `faster-rcnn_r50-caffe-dc5`. All losses then
reach the backbone through C5 alone. DC5-Aux is DC5 with the auxiliary heads of
`fpnprobe.methods.auxiliary` on C2..C4.
"""

from torch import nn

STRIDES = (1, 2, 2, 1)
DILATIONS = (1, 1, 1, 2)


def dilate_stage(stage: nn.Module, *, dilation: int = 2) -> nn.Module:
    """Take the stride out of a stage and dilate its 3x3 convolutions, in place; weights stay.

    >>> import torch
    >>> conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)
    >>> dilate_stage(nn.Sequential(conv))[0](torch.zeros(1, 8, 10, 10)).shape
    torch.Size([1, 8, 10, 10])
    """
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                module.dilation = (dilation, dilation)
                module.padding = (dilation, dilation)
    return stage
