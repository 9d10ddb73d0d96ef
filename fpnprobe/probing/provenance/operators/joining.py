"""Operators that join elements: sums, products of matrices, normalizations along a line."""

import torch
from torch import Tensor

from fpnprobe.probing.provenance.marks import (
    NONE,
    TAKEN,
    is_lost,
    is_object,
    join_reduced,
    join_targets,
)
from fpnprobe.probing.provenance.operation import Operation, is_parameter, normalized_dims
from fpnprobe.probing.provenance.rules import rule

_LINEAR = ("sum", "mean")


@rule("sum", "mean", "prod", "any", "all", "std", "var", "norm", "linalg_vector_norm", "logsumexp")
@rule("nansum", "count_nonzero", "std_mean", "var_mean")
def reduce_dims(operation: Operation) -> None:
    """The object of the elements that are joined, if they have one; labeled rows are cut here."""
    source = operation.args[0]
    out = operation.outputs()[0]
    position = 2 if operation.name in ("norm", "linalg_vector_norm") else 1
    dims = operation.argument(position, "dim")
    if isinstance(dims, torch.dtype):
        dims = None
    numbers = normalized_dims(dims, source.dim())
    marks = operation.marks(source)
    if operation.is_labeled(source):
        _reduce_rows(operation, source, marks, numbers, out)
        return
    joined = join_reduced(marks, numbers, operation.lost())
    if out.dim() == 0 and not bool((marks == joined).all()):
        return  # a statistic of the batch, such as the number of positives
    if operation.name in _LINEAR and source.dtype == torch.bool:
        joined = _of_comparisons(operation, joined, numbers)
    found = joined.reshape(out.shape)
    if out.dtype == torch.bool:
        found = torch.where(out, found, NONE)
    operation.give(out, found)


def _of_comparisons(operation: Operation, joined: Tensor, dims: tuple[int, ...]) -> Tensor:
    """How many borders a number is beyond is that number's object, also where it is none."""
    marks = operation.compared.read(operation.args[0])
    if not marks.numel() or not dims:
        return joined
    high, low = marks.amax(dims, keepdim=True), marks.amin(dims, keepdim=True)
    return torch.where((joined == NONE) & (high == low), high, joined)


def _reduce_rows(
    operation: Operation, source: Tensor, marks: Tensor, dims: tuple[int, ...], out: Tensor
) -> None:
    if marks.numel() and dims:
        high, low = marks.amax(dims, keepdim=True), marks.amin(dims, keepdim=True)
        if out.dim() and bool((high == low).all()):
            operation.give(out, low.reshape(out.shape))
            return
    if bool((marks == TAKEN).all()):
        operation.give(out, marks.reshape(-1)[0])
        return
    operation.cut(source, linear=operation.name in _LINEAR)
    if out.dim() == 0:
        operation.give(out, torch.tensor(TAKEN, dtype=torch.int32, device=out.device))


@rule("softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp")
def join_line(operation: Operation) -> None:
    """Elements along a line: all of one object, or lost."""
    source = operation.args[0]
    out = operation.outputs()[0]
    if operation.in_graph and not operation.is_labeled(source):
        return
    dim = operation.argument(1, "dim", -1)
    marks = operation.marks(source)
    if not source.dim():
        operation.give(out, marks)
        return
    line = normalized_dims(dim, source.dim())
    if operation.in_graph:
        if bool((marks.amax(line) == marks.amin(line)).all()):
            operation.give(out, marks)
        else:
            operation.cut(source)
        return
    operation.give(out, join_reduced(marks, line, operation.lost()).expand(out.shape))


@rule("mm", "bmm", "addmm", "baddbmm", "mv", "dot", "addmv", "_cdist_forward", "linear")
def multiply(operation: Operation) -> None:
    """Element (i, j) of a product of matrices joins row i of one and column j of the other."""
    operands = operation.tensors()
    if any(is_parameter(t) for t in operands):
        return
    first, second = operands[-2:]
    labeled = [t for t in (first, second) if operation.in_graph and operation.is_labeled(t)]
    if labeled and not _has_whole_rows(operation, first):
        for one in labeled:
            operation.cut(one)
        return
    if first.dim() < 2 or second.dim() < 2:
        return
    lost = operation.lost()
    rows = join_reduced(operation.marks(first), (first.dim() - 1,), lost)
    if operation.name == "_cdist_forward":
        columns = join_reduced(operation.marks(second), (second.dim() - 1,), lost)
        columns = columns.transpose(-1, -2)
    else:
        columns = join_reduced(operation.marks(second), (second.dim() - 2,), lost)
    joined = join_targets(rows, columns, lost)
    joined = torch.where(is_object(joined) | is_lost(joined), joined, NONE)
    operation.give(operation.outputs()[0], joined)


def _has_whole_rows(operation: Operation, tensor: Tensor) -> bool:
    marks = operation.marks(tensor)
    return marks.dim() > 0 and bool((marks.amax(-1) == marks.amin(-1)).all())


@rule("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa")
@rule("upsample_linear1d", "upsample_nearest1d", "_adaptive_avg_pool2d", "adaptive_max_pool2d")
@rule("avg_pool2d", "max_pool2d_with_indices", "_upsample_nearest_exact2d")
@rule("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def resample(operation: Operation) -> None:
    """Maps `(B, C, H, W)` of another size, or read at points: each channel's object, if it is one.

    Where a map is read does not count: features at an object's place are not that object's loss.
    """
    source = operation.args[0]
    if operation.in_graph:
        if operation.is_labeled(source):
            marks = operation.marks(source)
            dims = tuple(range(2, source.dim()))
            if bool((marks.amax(dims) == marks.amin(dims)).all()):
                shape = [*marks.shape[:2], *[1] * len(dims)]
                operation.give(operation.outputs()[0], marks.amax(dims).reshape(shape))
            else:
                operation.cut(source)
        return
    dims = tuple(range(2, source.dim()))
    joined = join_reduced(operation.marks(source), dims, operation.lost())
    operation.give(operation.outputs()[0], joined)
