"""Auxiliary heads: the stages C2..C4 predict all objects themselves (Eq. 8-9).

Jin et al., "You Should Look at All Objects", ECCV 2022. For i = 2, 3, 4,

    O^_cls,i = f_cls,i(f_pre,i(C_i)),  O^_reg,i = f_reg,i(f_pre,i(C_i))     (8)
    L^_i = L_cls(O^_cls,i, GT_cls) + lambda L_reg(O^_reg,i, GT_reg)         (9)

with the ground truth of all levels, and the training loss is the sum of the detector's own and all
L^_i. A two-stage detector takes the RoIs of its main sampling, so that nothing is proposed twice.
The prediction is dropped at inference.

The paper does not say what f_pre is. Ours, for a two-stage detector: 1x1 convolution C_i -> 256,
RoIAlign 7x7 at the stride of C_i over all sampled RoIs, two linear layers of 1024 with ReLU,
nothing shared between the stages. Without the convolution the first linear layer alone has 12.8 M
parameters on C2 and 51 M on C4 of a ResNet-50. For a one-stage detector f is its own head, with the
anchors of all levels on C_i (`fpnprobe.mm.auxiliary`).
"""

import torch.nn.functional as F
from torch import Tensor, nn


class StageProjection(nn.Module):
    """1x1 convolution of a stage (B, C_i, H, W) to the pyramid's width; None keeps the channels.

    >>> import torch
    >>> StageProjection(64, width=32)(torch.zeros(1, 64, 4, 4)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, channels: int, *, width: int | None = 256) -> None:
        super().__init__()
        self.out_channels = width or channels
        self.project = nn.Identity() if width is None else nn.Conv2d(channels, width, 1)

    def forward(self, stage: Tensor) -> Tensor:
        """Project the stage's output."""
        projected: Tensor = self.project(stage)
        return projected


class AuxiliaryRoIHead(nn.Module):
    """The auxiliary prediction of one stage of a two-stage detector (Eq. 8).

    Args:
        channels: Channels of C_i.
        stride: Stride of C_i, px.
        classes: Number of classes without background, which is the last score.
        width: Channels after the projection; None for raw channels.
        hidden: Width of the two linear layers.
        size: Side of the RoI feature.

    >>> import torch
    >>> head = AuxiliaryRoIHead(64, stride=4, classes=3, width=16, hidden=32)
    >>> rois = torch.tensor([[0.0, 4.0, 4.0, 20.0, 20.0]])  # image, x1, y1, x2, y2 in px
    >>> [tuple(out.shape) for out in head(torch.zeros(1, 64, 8, 8), rois)]
    [(1, 4), (1, 4), (1, 32)]
    """

    def __init__(
        self,
        channels: int,
        *,
        stride: float,
        classes: int,
        width: int | None = 256,
        hidden: int = 1024,
        size: int = 7,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.size = size
        self.project = StageProjection(channels, width=width)
        self.first = nn.Linear(self.project.out_channels * size * size, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.classify = nn.Linear(hidden, classes + 1)
        self.regress = nn.Linear(hidden, 4)

    def forward(self, stage: Tensor, rois: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (N, classes + 1), box deltas (N, 4) and the feature (N, hidden) they come from."""
        from torchvision.ops import roi_align  # not part of the core

        pooled = roi_align(
            self.project(stage),
            rois,
            output_size=self.size,
            spatial_scale=1 / self.stride,
            sampling_ratio=2,
            aligned=True,
        )
        feature = F.relu(self.second(F.relu(self.first(pooled.flatten(1)))))
        return self.classify(feature), self.regress(feature), feature


def auxiliary_rows(
    scores: Tensor, deltas: Tensor, *, labels: Tensor, targets: Tensor, weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Rows (N,) of the classification and of the regression part of L^_i; they sum to it (Eq. 9).

    Cross entropy and L1, both divided by N as in Faster R-CNN; only rows of objects regress.

    Args:
        scores: (N, classes + 1).
        deltas: (N, 4).
        labels: (N,) class, or `classes` for background.
        targets: (N, 4) encoded boxes.
        weight: Lambda.

    >>> import torch
    >>> scores, deltas = torch.zeros(2, 3), torch.zeros(2, 4)
    >>> labels, targets = torch.tensor([0, 2]), torch.ones(2, 4)
    >>> rows = auxiliary_rows(scores, deltas, labels=labels, targets=targets)
    >>> [[round(value, 3) for value in part.tolist()] for part in rows]
    [[0.549, 0.549], [2.0, 0.0]]
    """
    count = max(len(labels), 1)
    classification = F.cross_entropy(scores, labels, reduction="none") / count
    objects = (labels < scores.shape[1] - 1).to(deltas.dtype)
    regression = (deltas - targets).abs().sum(1) * objects / count
    return classification, weight * regression
