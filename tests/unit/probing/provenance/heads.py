"""A made-up dense detector in plain torch: one stage after another, one prediction a cell."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Targets = tuple[Tensor, Tensor]
CLASSES = 4


class Dense(nn.Module):
    """Cells of a map that are within a box predict its class and its corners.

    Args:
        loss: Which loss is made of scores, corners and targets.
        launder: Makes the class targets through Python numbers.
    """

    def __init__(self, loss: Callable[..., Tensor], *, launder: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer1 = nn.Conv2d(3, 6, 3, padding=1)
        self.layer2 = nn.Conv2d(6, 6, 3, padding=1)
        self.scores = nn.Conv2d(6, CLASSES + 1, 1)
        self.corners = nn.Conv2d(6, 4, 1)
        self.loss, self.launder = loss, launder
        self.double()

    def forward(self, images: Tensor, targets: list[Targets]) -> Tensor:
        features = self.layer2(self.layer1(images).tanh()).tanh()
        scores = self.scores(features).flatten(2).transpose(1, 2)  # (B, H*W, C+1)
        corners = self.corners(features).flatten(2).transpose(1, 2)
        size = images.shape[-1]
        cells = torch.cartesian_prod(torch.arange(size), torch.arange(size)).double()
        found = [self.assign(cells, *one) for one in targets]
        labels = torch.stack([label for label, _ in found])
        if self.launder:
            labels = torch.tensor(labels.tolist())
        boxes = torch.stack([box for _, box in found])
        return self.loss(scores.reshape(-1, CLASSES + 1), corners.reshape(-1, 4), labels, boxes)

    @staticmethod
    def assign(cells: Tensor, boxes: Tensor, labels: Tensor) -> Targets:
        """The smallest box around each cell: its class (or CLASSES) and its corners."""
        target, corners = torch.full((len(cells),), CLASSES), torch.zeros(len(cells), 4).double()
        if not len(boxes):
            return target, corners
        inside = (
            (cells[:, None] >= boxes[None, :, :2]) & (cells[:, None] <= boxes[None, :, 2:])
        ).all(-1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)[None].repeat(len(cells), 1)
        areas[~inside] = 1e9
        least, index = areas.min(1)
        target = labels[index]
        target[least == 1e9] = CLASSES
        positive = (target < CLASSES).nonzero()[:, 0]
        corners[positive] = boxes[index[positive]]
        return target, corners


def softmax_loss(scores: Tensor, corners: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    labels, boxes = labels.reshape(-1), boxes.reshape(-1, 4)
    positive = labels < CLASSES
    count = positive.sum().clamp(min=1)
    box = F.smooth_l1_loss(corners[positive], boxes[positive], reduction="sum") / count
    return F.cross_entropy(scores, labels, label_smoothing=0.1) + box


def sigmoid_loss(scores: Tensor, corners: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    labels, boxes = labels.reshape(-1), boxes.reshape(-1, 4)
    hot = F.one_hot(labels, CLASSES + 1)[:, :CLASSES].to(scores)
    p = scores[:, :CLASSES].sigmoid()
    closeness = p * hot + (1 - p) * (1 - hot)
    raw = F.binary_cross_entropy_with_logits(scores[:, :CLASSES], hot, reduction="none")
    focal = (raw * (1 - closeness) ** 2).sum(1)
    positive = (labels < CLASSES).nonzero()[:, 0]
    distance = (corners[positive] - boxes[positive]).abs().sum(1)
    overlap = (torch.min(corners, boxes) - 1).clamp(min=0.1).prod(1)[positive]
    count = max(len(positive), 1)
    return focal.mean() + distance.sum() / count + (1 - overlap.log()).mean() * (count > 0)


def two_annotated_images() -> tuple[Tensor, list[Targets], list[float]]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(3, 3, 8, 8, generator=generator, dtype=torch.float64)
    boxes = [
        torch.tensor([[0.0, 0, 2, 2], [1, 1, 7, 7], [6, 0, 7, 1]]).double(),
        torch.zeros(0, 4).double(),
        torch.tensor([[2.0, 2, 5, 6]]).double(),
    ]
    labels = [torch.tensor([1, 0, 3]), torch.zeros(0).long(), torch.tensor([2])]
    return images, list(zip(boxes, labels, strict=True)), [100.0, 20000.0, 200.0, 4000.0]
