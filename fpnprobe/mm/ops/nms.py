"""Non-maximum suppression with the signatures of mmcv's compiled extension."""

import torch
from torch import Tensor

from fpnprobe.mm.ops.precision import at_least_float32

_NAIVE, _LINEAR = 0, 1  # mmcv's soft-NMS methods; 2 is gaussian


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return indices of the kept boxes `(N, 4)` by falling score; exact ties keep their order.

    `offset` 1 counts pixels inclusively, so widths are `x2 - x1 + 1`.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    indices: Tensor = torch.ops.torchvision.nms(boxes, scores.to(boxes.dtype), float(iou_threshold))
    return indices


def _overlap_with(box: Tensor, boxes: Tensor, offset: int) -> Tensor:
    """Return the IoU of one box `(4,)` with others `(N, 4)`."""
    low = torch.maximum(box[:2], boxes[:, :2])
    high = torch.minimum(box[2:4], boxes[:, 2:4])
    shared = (high - low + offset).clamp_(min=0).prod(dim=1)
    area = (box[2] - box[0] + offset) * (box[3] - box[1] + offset)
    areas = (boxes[:, 2] - boxes[:, 0] + offset) * (boxes[:, 3] - boxes[:, 1] + offset)
    return shared / (area + areas - shared)


def _decay_scores(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """Decay the score of a box that overlaps a better one (Bodla et al. 2017, Eq. 1-3)."""
    if method == _NAIVE:
        return (overlap < iou_threshold).to(overlap.dtype)
    if method == _LINEAR:
        return torch.where(overlap >= iou_threshold, 1 - overlap, torch.ones_like(overlap))
    return torch.exp(-(overlap * overlap) / sigma)


def _surviving_positions(dropped: list[bool]) -> list[int]:
    """Positions that survive, in the order left by swapping each dropped one with the last."""
    order, position, last = list(range(len(dropped))), 0, len(dropped)
    while position < last:
        if dropped[order[position]]:
            last -= 1
            order[position] = order[last]
        else:
            position += 1
    return order[:last]


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS on the CPU: fills `dets` `(N, 5)` and returns the kept indices, as mmcv does.

    The order of equal scores depends on how removed boxes are swapped out, so that is reproduced.
    """
    boxes = boxes.detach().to("cpu", torch.float32).clone()
    scores = scores.detach().to("cpu", torch.float32).clone()
    indices = torch.arange(len(boxes))
    alive = len(boxes)
    position = 0
    while position < alive:
        best = position + int(torch.argmax(scores[position:alive]))
        if best != position:
            for values in (boxes, scores, indices):
                values[[position, best]] = values[[best, position]]
        dets[position, :4], dets[position, 4] = boxes[position], scores[position]
        remaining = slice(position + 1, alive)
        scores[remaining] *= _decay_scores(
            _overlap_with(boxes[position], boxes[remaining], offset), iou_threshold, sigma, method
        )
        dropped = (scores[remaining] < min_score).tolist()
        if any(dropped):
            survivors = torch.tensor(_surviving_positions(dropped), dtype=torch.long) + position + 1
            for values in (boxes, scores, indices):
                values[position + 1 : position + 1 + len(survivors)] = values[survivors]
            alive = position + 1 + len(survivors)
        position += 1
    return indices[:alive]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group indices of `dets` `(N, 5)`: each kept box, then the boxes that it suppresses."""
    dets = at_least_float32(dets.detach()).cpu()
    order = torch.argsort(dets[:, 4], descending=True, stable=True)
    groups = []
    while len(order):
        best, remaining = order[0], order[1:]
        hit = _overlap_with(dets[best], dets[remaining], 0) >= iou_threshold
        groups.append([int(best), *remaining[hit].tolist()])
        order = remaining[~hit]
    return groups
