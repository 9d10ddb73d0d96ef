"""Non-maximum suppression with the signatures of mmcv's compiled extension."""

import torch
from torch import Tensor

from fpnprobe.mm.ops.precision import at_least_float32

_NAIVE, _LINEAR = 0, 1  # mmcv's soft-NMS methods; 2 is gaussian


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the kept boxes `(N, 4)` by falling score; exact ties keep their input order.

    `offset` 1 counts pixels inclusively, so widths are `x2 - x1 + 1`.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores.to(boxes.dtype), float(iou_threshold))
    return kept


def _overlaps(box: Tensor, others: Tensor, offset: int) -> Tensor:
    """IoU of one box `(4,)` with others `(N, 4)`."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:4], others[:, 2:4])
    shared = (high - low + offset).clamp_(min=0).prod(dim=1)
    area = (box[2] - box[0] + offset) * (box[3] - box[1] + offset)
    areas = (others[:, 2] - others[:, 0] + offset) * (others[:, 3] - others[:, 1] + offset)
    return shared / (area + areas - shared)


def _decay(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """Factor on the score of a box that overlaps a better one (Bodla et al. 2017, Eq. 1-3)."""
    if method == _NAIVE:
        return (overlap < iou_threshold).to(overlap.dtype)
    if method == _LINEAR:
        return torch.where(overlap >= iou_threshold, 1 - overlap, torch.ones_like(overlap))
    return torch.exp(-(overlap * overlap) / sigma)


def _without(dropped: list[bool]) -> list[int]:
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
    done = 0
    while done < alive:
        best = done + int(torch.argmax(scores[done:alive]))
        if best != done:
            for values in (boxes, scores, indices):
                values[[done, best]] = values[[best, done]]
        dets[done, :4], dets[done, 4] = boxes[done], scores[done]
        rest = slice(done + 1, alive)
        scores[rest] *= _decay(
            _overlaps(boxes[done], boxes[rest], offset), iou_threshold, sigma, method
        )
        dropped = (scores[rest] < min_score).tolist()
        if any(dropped):
            kept = torch.tensor(_without(dropped), dtype=torch.long) + done + 1
            for values in (boxes, scores, indices):
                values[done + 1 : done + 1 + len(kept)] = values[kept]
            alive = done + 1 + len(kept)
        done += 1
    return indices[:alive]


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices of `dets` `(N, 5)`: each kept box, then the boxes that it suppresses."""
    dets = at_least_float32(dets.detach()).cpu()
    order = torch.argsort(dets[:, 4], descending=True, stable=True)
    groups = []
    while len(order):
        best, rest = order[0], order[1:]
        hit = _overlaps(dets[best], dets[rest], 0) >= iou_threshold
        groups.append([int(best), *rest[hit].tolist()])
        order = rest[~hit]
    return groups
