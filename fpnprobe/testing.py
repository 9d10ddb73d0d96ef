"""Slow twins and named properties: what the probe promises, as one-line checks for your own tests.

>>> import torch
>>> from fpnprobe.probing import Probe
>>> pyramid = ToyPyramid()
>>> loss, partition, taps = pyramid.measured(torch.ones(6, 3, 16, 16, dtype=torch.float64))
>>> sample = Probe().measure(loss, partition, taps)
>>> assert_partition_sums_to_total(sample, tolerance=1e-10)
>>> assert_routes_sum_to_total(sample, tolerance=1e-10)
>>> assert_no_hooks_left(pyramid)
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fpnprobe.probing import LossPartition, Sample, Tap

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def assert_partition_sums_to_total(sample: Sample, *, tolerance: float = 1e-5) -> None:
    """The buckets add up to the loss, and their gradients to the undivided gradient."""
    residuals = sample.residuals
    assert residuals.loss <= tolerance, f"loss: residual {residuals.loss:.1e} > {tolerance:.0e}"
    for name in ("activation", "parameter"):
        value = getattr(residuals, name)
        assert math.isnan(value) or value <= tolerance, f"{name}: {value:.1e} > {tolerance:.0e}"
    assert not math.isnan(residuals.gradient), "no gradient residual: the sample was not audited"


def assert_routes_sum_to_total(sample: Sample, *, tolerance: float = 1e-5) -> None:
    """Direct, auxiliary and deeper parts add up to the gradient of every bucket at every stage."""
    residual = sample.residuals.routes
    assert residual <= tolerance, f"routes: residual {residual:.1e} > {tolerance:.0e}"


def hooks_left(model: nn.Module) -> list[str]:
    """Hooks on modules and parameters, and methods covered on an instance, by name."""
    hooks = [
        f"{path or type(module).__name__}.{kind}"
        for path, module in model.named_modules()
        for kind in _HOOKS
        if getattr(module, kind)
    ]
    hooks += [
        f"{path}.{name}"
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if callable(value) and callable(getattr(type(module), name, None))
    ]
    hooks += [name for name, p in model.named_parameters() if getattr(p, "_backward_hooks", None)]
    return hooks


def assert_no_hooks_left(model: nn.Module) -> None:
    """Nothing of a probe is left on the model."""
    assert not hooks_left(model), hooks_left(model)


def assert_same_records(a: Sample, b: Sample, *, tolerance: float = 1e-10) -> None:
    """Two samples measured the same gradients: every norm equal, relative to the largest one."""
    rows = [{(r.tap, r.kind, r.route, r.bucket, r.term): r.l2 for r in s.records} for s in (a, b)]
    assert rows[0].keys() == rows[1].keys(), rows[0].keys() ^ rows[1].keys()
    size = max((v for v in rows[0].values() if math.isfinite(v)), default=0.0)
    for key, value in rows[0].items():
        other = rows[1][key]
        same = math.isnan(value) and math.isnan(other)
        assert same or abs(value - other) <= tolerance * size, f"{key}: {value} and {other}"


def slow_bucket_gradients(
    losses: Mapping[str, Tensor], inputs: Sequence[Tensor]
) -> dict[str, list[Tensor]]:
    """Return the gradient of each bucket's own loss, one full backward pass each: the obvious twin.

    Args:
        losses: Loss of each bucket, computed by itself.
        inputs: Tensors to differentiate by.
    """
    gradients_by_bucket = {}
    for name, loss in losses.items():
        gradients = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
        gradients_by_bucket[name] = [
            torch.zeros_like(t) if g is None else g for t, g in zip(inputs, gradients, strict=True)
        ]
    return gradients_by_bucket


def relative_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """|a - b| / |b| of two lists of tensors; |a| where b is zero."""
    gap = sum(float((x - y).double().square().sum()) for x, y in zip(a, b, strict=True))
    size = sum(float(y.double().square().sum()) for y in b)
    return math.sqrt(gap / size) if size else math.sqrt(gap)


class ToyPyramid(nn.Module):
    """Three stages, a top-down pyramid, one linear head on every level: small, in float64.

    Image r of the batch is row r of the loss of every level. C4 has consumers of all three kinds:
    its lateral connection and an auxiliary head; C2 and C3 also feed the next stage.

    Args:
        auxiliary: Whether C2 has an auxiliary head.
    """

    def __init__(self, *, auxiliary: bool = False) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.Tanh())
            for a, b in ((3, 4), (4, 6), (6, 8))
        )
        self.laterals = nn.ModuleList(nn.Conv2d(c, 5, 1) for c in (4, 6, 8))
        self.heads = nn.ModuleList(nn.Linear(5, 2) for _ in range(3))
        self.auxiliary = nn.Conv2d(4, 1, 1) if auxiliary else None
        self.double()

    def stages(self, images: Tensor) -> list[Tensor]:
        """C2, C3 and C4, `(B, C_i, H / 2^(i-1), W / 2^(i-1))`."""
        maps = [self.layer1(images)]
        for layer in (self.layer2, self.layer3):
            maps.append(layer(maps[-1]))
        return maps

    def pyramid(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """P2, P3 and P4, `(B, 5, H_i, W_i)`."""
        maps = [lateral(c) for lateral, c in zip(self.laterals, stages, strict=True)]
        for i in (1, 0):
            maps[i] = maps[i] + F.interpolate(maps[i + 1], size=maps[i].shape[-2:])
        return maps

    def rows(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the unreduced loss of every level, `(B,)` each."""
        return [
            head(p.mean((2, 3))).square().sum(1) for head, p in zip(self.heads, levels, strict=True)
        ]

    def measured(self, images: Tensor) -> tuple[Tensor, LossPartition, list[Tap]]:
        """Loss, partition and taps of a batch: image r is of bucket r mod 4 (3: background)."""
        stages = self.stages(images)
        levels = self.pyramid(stages)
        labels = torch.arange(len(images)) % 4
        partition = LossPartition(objects=[int((labels == b).sum()) for b in range(3)])
        rows_by_level = self.rows(levels)
        for level, rows in enumerate(rows_by_level, start=2):
            partition.add_rows(rows, labels, levels=torch.full_like(labels, level))
        loss = torch.stack([rows.sum() for rows in rows_by_level]).sum() / len(images)
        if self.auxiliary is not None:
            auxiliary_rows = self.auxiliary(stages[0]).square().mean((1, 2, 3))  # (B,)
            partition.add_rows(
                auxiliary_rows, labels, term="aux2", levels=torch.full_like(labels, 2)
            )
            loss = loss + 0.5 * auxiliary_rows.sum()
        layers = (self.layer1, self.layer2, self.layer3)
        taps = [
            Tap(f"C{i}", i, c, tuple(layer.parameters()), routed=True)
            for i, (c, layer) in enumerate(zip(stages, layers, strict=True), start=2)
        ]
        taps += [Tap(f"P{i}", i, p) for i, p in enumerate(levels, start=2)]
        return loss, partition, taps
