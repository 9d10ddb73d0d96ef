"""A ResNet for small images, trained from scratch."""

from mmdet.models.backbones import ResNet
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class NarrowResNet(ResNet):
    """mmdet's ResNet (He et al. 2016) with a 3x3 instead of a 7x7 stem.

    On 192 px images a 7x7 stem would be a fifth of the whole cost. Every option of mmdet's `ResNet`
    works (`base_channels` is the width of C2), and so does everything that reads its stages.

    >>> NarrowResNet(depth=18, base_channels=16).conv1.kernel_size
    (3, 3)
    """

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        if not self.deep_stem:
            self.conv1 = nn.Conv2d(in_channels, stem_channels, 3, stride=2, padding=1, bias=False)

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The modules whose parameters are those of C2, C3, C4, C5."""
        return tuple(getattr(self, name) for name in self.res_layers)
