"""Eq. 8-11 as printed, and the dilated convolution of DC5."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpnprobe.methods.auxiliary import AuxiliaryRoIHead
from fpnprobe.methods.uncertainty import Uncertainty


def roi_align(feature: Tensor, rois: Tensor, *, stride: float, size: int) -> Tensor:
    """RoIAlign with four bilinear samples a bin, its mean, as a loop over all of them."""
    height, width = feature.shape[-2:]
    result = []
    for image, *corners in rois.tolist():
        left, top, right, bottom = (corner / stride - 0.5 for corner in corners)
        bins = []
        for i in range(size):
            for j in range(size):
                samples = []
                for dy in (0.25, 0.75):
                    for dx in (0.25, 0.75):
                        y = top + (i + dy) * (bottom - top) / size
                        x = left + (j + dx) * (right - left) / size
                        if not (-1 <= y <= height and -1 <= x <= width):
                            samples.append(torch.zeros_like(feature[0, :, 0, 0]))
                            continue
                        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                        y0, x0 = int(y), int(x)
                        y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                        image_feature = feature[int(image)]
                        samples.append(
                            (1 - y + y0) * (1 - x + x0) * image_feature[:, y0, x0]
                            + (1 - y + y0) * (x - x0) * image_feature[:, y0, x1]
                            + (y - y0) * (1 - x + x0) * image_feature[:, y1, x0]
                            + (y - y0) * (x - x0) * image_feature[:, y1, x1]
                        )
                bins.append(torch.stack(samples).mean(dim=0))
        result.append(torch.stack(bins, dim=-1).view(-1, size, size))
    return torch.stack(result)


def auxiliary_head(module: AuxiliaryRoIHead, stage: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 8 for a two-stage detector: scores and box deltas of every RoI, one RoI at a time."""
    project = module.project.project
    if isinstance(project, nn.Conv2d):
        weight, bias = project.weight[:, :, 0, 0], cast(Tensor, project.bias)
        stage = torch.einsum("oc,bchw->bohw", weight, stage) + bias[:, None, None]
    pooled = roi_align(stage, rois, stride=module.stride, size=module.size)
    scores, deltas = [], []
    for roi in pooled:
        hidden = (module.first.weight @ roi.flatten() + module.first.bias).clamp(min=0)
        hidden = (module.second.weight @ hidden + module.second.bias).clamp(min=0)
        scores.append(module.classify.weight @ hidden + module.classify.bias)
        deltas.append(module.regress.weight @ hidden + module.regress.bias)
    return torch.stack(scores), torch.stack(deltas)


def auxiliary_loss(
    scores: Tensor, deltas: Tensor, *, labels: Tensor, targets: Tensor, weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Eq. 9: L_cls and lambda L_reg of one stage, one RoI at a time."""
    background = scores.shape[1] - 1
    classification, regression = scores.new_zeros(()), scores.new_zeros(())
    for score, delta, label, target in zip(scores, deltas, labels.tolist(), targets, strict=True):
        classification = classification - score[label] + torch.log(torch.exp(score).sum())
        if label != background:
            regression = regression + weight * (delta - target).abs().sum()
    return classification / len(labels), regression / len(labels)


def uncertain_loss(
    module: Uncertainty, rows: Tensor, features: Tensor, *, factors: Tensor
) -> Tensor:
    """Eq. 10-11, one prediction at a time, summed; `rows` (N,) are the losses times `factors`."""
    tau, capped = module.options.tau, module.options.coefficient == "capped"
    whole = module.options.granularity == "level"
    number = int((factors > 0).sum())
    losses: list[float] = []
    a: list[Tensor] = []
    for row, x, factor in zip(rows, features, factors, strict=True):
        row_loss = rows.sum() if whole else row / factor if factor > 0 else rows.new_zeros(())
        loss_value = float(row_loss.detach())
        losses.append(loss_value)
        score = module.weight @ x + module.bias[0]
        # (11): a closed ReLU in front of a loss above tau has the gradient of an open one
        closed = score - score.detach() if loss_value > tau else 0 * score
        a.append(score if score > 0 else closed)
    total = features.new_zeros(())
    if whole:
        counted = [
            score_of_row for score_of_row, factor in zip(a, factors, strict=True) if factor > 0
        ]
        a = [sum(counted, start=features.new_zeros(())) / number] * len(a)
        factors = (factors > 0).to(rows) / number
    for row, own_a, loss, factor in zip(rows, a, losses, factors, strict=True):
        coefficient = min(tau, loss) if capped else tau
        total = total + torch.exp(-own_a) * row + factor * coefficient * own_a  # (10)
    return total


def dilated_convolution(weight: Tensor, feature: Tensor, *, dilation: int = 2) -> Tensor:
    """A dilated 3x3 convolution of stride one is a wide kernel that is zero between its taps."""
    side = 2 * dilation + 1
    wide = weight.new_zeros(*weight.shape[:2], side, side)
    wide[:, :, ::dilation, ::dilation] = weight
    padded = F.pad(feature, (dilation,) * 4)
    rows = [
        torch.stack(
            [
                torch.einsum("ocij,bcij->bo", wide, padded[..., y : y + side, x : x + side])
                for x in range(feature.shape[-1])
            ],
            dim=-1,
        )
        for y in range(feature.shape[-2])
    ]
    return torch.stack(rows, dim=-2)
