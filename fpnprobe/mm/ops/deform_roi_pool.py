"""Deformable RoI pooling with the signatures of mmcv's compiled extension.

Dai et al. 2017, Eq. 5: RoIAlign whose bins are moved by `gamma` times an offset in widths and
heights of the RoI.
"""

import torch
from torch import Tensor

from fpnprobe.mm.ops.deform_conv import pull_back
from fpnprobe.mm.ops.precision import at_least_float32


def pool(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    """(R, C, h, w) from maps (B, C, H, W), RoIs (R, 5) and offsets (R, 2, h, w) or none."""
    height, width = size
    start = rois[:, 1:3] * spatial_scale - 0.5  # x, y
    extent = (rois[:, 3:5] - rois[:, 1:3]) * spatial_scale
    bins = extent / extent.new_tensor([width, height])
    grid = torch.ceil(bins).long().clamp(min=0)
    if sampling_ratio > 0:
        grid = torch.full_like(grid, sampling_ratio)
    pooled = input.new_zeros(len(rois), input.shape[1], height, width)
    for count in grid.unique(dim=0):
        same_grid = (grid == count).all(1).nonzero()[:, 0]
        columns, rows = (int(n) for n in count)
        if not columns or not rows:
            continue
        x = _sampling_positions(
            start[same_grid, 0], bins[same_grid, 0], width, columns
        )  # (r, w, columns)
        y = _sampling_positions(start[same_grid, 1], bins[same_grid, 1], height, rows)
        x, y = x[:, None, :, None, :], y[:, :, None, :, None]  # (r, h, w, rows, columns)
        if offset.numel():
            moved = gamma * offset[same_grid] * extent[same_grid][:, :, None, None]
            x, y = x + moved[:, 0, :, :, None, None], y + moved[:, 1, :, :, None, None]
        shape = (len(same_grid), height, width, rows, columns)
        values = _sample_bilinear(
            input, rois[same_grid, 0].long(), y.expand(shape), x.expand(shape)
        )
        pooled = pooled.index_copy(0, same_grid, values.mean((-2, -1)))
    return pooled


def _sampling_positions(start: Tensor, bin_size: Tensor, bins: int, count: int) -> Tensor:
    """Return the sampling places along one axis, `(R, bins, count)`."""
    inner = (torch.arange(count, device=start.device) + 0.5) / count
    steps = torch.arange(bins, device=start.device)[:, None] + inner
    return start[:, None, None] + steps * bin_size[:, None, None]


def _sample_bilinear(maps: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Return the values `(R, C, ...)` at places `(R, ...)`; 0 beyond one px outside of the map."""
    height, width = maps.shape[-2:]
    is_inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.floor().long(), x.floor().long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    down, across = y - top, x - left
    number = image.reshape(-1, *[1] * (y.dim() - 1)).expand(y.shape)

    def at(row: Tensor, column: Tensor, weight: Tensor) -> Tensor:
        return maps[number, :, row, column] * weight[..., None]  # (R, ..., C)

    values = at(top, left, (1 - down) * (1 - across)) + at(top, right, (1 - down) * across)
    values = values + at(bottom, left, down * (1 - across)) + at(bottom, right, down * across)
    values = values * is_inside[..., None]
    return values.movedim(-1, 1)


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill `output` (R, C, h, w)."""
    maps, boxes, moved = (at_least_float32(t) for t in (input, rois, offset))
    size = (pooled_height, pooled_width)
    with torch.no_grad():
        output.copy_(pool(maps, boxes, moved, size, spatial_scale, sampling_ratio, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill the gradients of input and offset."""
    size = (pooled_height, pooled_width)
    boxes = at_least_float32(rois.detach())
    gradients = pull_back(
        lambda x, o: pool(x, boxes, o, size, spatial_scale, sampling_ratio, gamma),
        [input, offset],
        grad_output,
    )
    for target, gradient in zip((grad_input, grad_offset), gradients, strict=True):
        if gradient is not None and target.numel():
            target.copy_(gradient)
