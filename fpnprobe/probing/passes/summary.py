"""From squares and inner products to ledger records, over all processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from fpnprobe.ledger import ConflictRecord, GradientRecord
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.moments import GramAccumulator
from fpnprobe.probing.passes.record_header import Floats, RecordHeader
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.sample import Residuals, Sample, worst
from fpnprobe.probing.soundness.underflow import underflows
from fpnprobe.probing.step_context import StepContext

_NAN = float("nan")
_Key = tuple[GradientKey, str]


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of one iteration's backward passes, in this process.

    `untrained` are taps whose stage is frozen: their gradients only would arrive. `counts` are for
    `underflows`, in float16. `rest` is the loss that flows beside all labeled rows, None where
    nothing does.
    """

    loss: Tensor
    values: Tensor
    moments: Mapping[GradientKey, GramAccumulator]
    terms: Mapping[tuple[GradientKey, str], list[Tensor]]
    gaps: Mapping[tuple[GradientKey, str], list[Tensor]]
    frozen: Sequence[GradientKey]
    audited: bool
    arithmetic: str = "float32"
    counts: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    untrained: frozenset[str] = frozenset()
    rest: float | None = None


def summarize(
    totals: Totals, partition: LossPartition, reduction: Reduction, step: StepContext
) -> Sample:
    """Join the processes, check the invariants, and write the records."""
    size = len(partition.labels)
    joined = _join_vectors(
        {(p, "all"): m.flat_statistics() for p, m in totals.moments.items()}, reduction
    )
    moments = {key: vector for (key, _), vector in joined.items()}
    terms = _join_vectors({key: _stack_scalars(s) for key, s in totals.terms.items()}, reduction)
    gaps = _join_vectors(
        {key: _stack_scalars(pairs) for key, pairs in totals.gaps.items()}, reduction
    )
    names = list(dict.fromkeys(("all", *(term for _, term in totals.terms))))
    local_counts = torch.tensor([[*partition.objects, 0], *map(partition.count, names)]).double()
    counts = reduction.sum(local_counts.to(totals.loss.device)).long().tolist()
    unlabeled = torch.tensor([float(totals.rest is not None), totals.rest or 0.0])
    shared = torch.cat(
        [v.to(totals.loss) for v in (totals.loss.reshape(1), totals.values, unlabeled)]
    )
    loss, *values, has_rest, rest_value = (reduction.sum(shared) / reduction.processes).tolist()
    rows = dict(zip(names, counts[1:], strict=True))
    residuals = Residuals(
        # Beside all rows flows what they lack: their sum is then no witness.
        loss=_NAN if has_rest else _relative_gap(abs(loss - sum(values)), abs(loss)),
        activation=_worst_gap(moments, "activation") if totals.audited else _NAN,
        parameter=_worst_gap(moments, "parameter") if totals.audited else _NAN,
        routes=worst(
            [_relative_gap(*np.sqrt(pair)) for v in gaps.values() for pair in v.reshape(-1, 2)]
        ),
    )
    objects = tuple(max(-1, n) for n in counts[0][:-1])
    header = RecordHeader(step.iteration, step.epoch, partition.labels, objects, residuals)
    finite = all(np.isfinite(vector).all() for vector in moments.values())
    verdict = residuals.judge(totals.arithmetic)
    usual = "measured" if finite else "nonfinite"

    def state_of(key: GradientKey) -> str:
        arrives = key.tap in totals.untrained and usual == "measured"
        return "would_arrive" if arrives else usual

    lost = underflows(moments, totals.counts, rows["all"], reduction) if finite else {}
    records: list[GradientRecord] = []
    cosines: list[ConflictRecord] = []
    for key, vector in moments.items():
        state = state_of(key)
        gram = vector[:-2].reshape(size, size)
        key_records = header.records(key, "all", np.diag(gram), rows["all"], state)
        gone = {partition.labels[label] for label in lost.get(key.tap, ())}
        records += [replace(r, state="underflow") if r.bucket in gone else r for r in key_records]
        total = np.sqrt(vector[-2])
        records.append(header.record(key, "all", l2=total, rows=sum(rows["all"]), state=state))
        if totals.moments[key].gram and finite:
            cosines += header.conflicts(key, gram)
    for key, accumulator in totals.moments.items():
        if (scaled := accumulator.scaled_squares()) is not None:
            squares, step_key = scaled.numpy(), replace(key, kind="update")
            state = usual if np.isfinite(squares[:-1]).all() else "nonfinite"
            records += header.records(step_key, "all", squares[:-1], rows["all"], state)
            whole = np.sqrt(squares[-1])
            records.append(
                header.record(step_key, "all", l2=whole, rows=sum(rows["all"]), state=state)
            )
    for (key, term), squares in terms.items():
        records += header.records(key, term, squares, rows[term], state_of(key))
    records += [
        header.record(key, label, state="frozen")
        for key in totals.frozen
        for label in (*partition.labels, "all")
    ]
    return Sample(
        iteration=step.iteration,
        epoch=step.epoch,
        loss=loss,
        values=dict(zip(partition.labels, values, strict=True)),
        gradients=tuple(records),
        cosines=tuple(cosines),
        residuals=residuals,
        finite=finite,
        verdict=verdict,
        unlabeled=_relative_gap(rest_value, abs(loss)) if has_rest else 0.0,
    )


def _join_vectors(vectors: Mapping[_Key, Tensor], reduction: Reduction) -> dict[_Key, Floats]:
    """Vectors of activations summed over processes and divided by W^2, in one exchange."""
    split = [key for key in vectors if key[0].kind == "activation"]
    joined_vectors = dict(vectors)
    if split and reduction.processes > 1:
        device = vectors[split[0]].device
        flat = torch.cat([vectors[key].to(device) for key in split])
        joined, start = reduction.sum(flat) / reduction.processes**2, 0
        for key in split:
            joined_vectors[key] = joined[start : start + len(vectors[key])]
            start += len(vectors[key])
    return {key: vector.cpu().numpy() for key, vector in joined_vectors.items()}


def _stack_scalars(values: Sequence[Tensor]) -> Tensor:
    """Scalars on the device that holds any of them: zeros of no tensor are on the CPU."""
    device = next((x.device for x in values if x.device.type != "cpu"), torch.device("cpu"))
    return torch.stack([x.to(device) for x in values])


def _worst_gap(moments: Mapping[GradientKey, Floats], kind: str) -> float:
    pairs = [v[-2:] for key, v in moments.items() if (key.kind, key.route) == (kind, "total")]
    return worst([_relative_gap(np.sqrt(gap), np.sqrt(total)) for total, gap in pairs])


def _relative_gap(gap: float, size: float) -> float:
    """Return gap / size; 0 where both are zero, and infinite where only the size is."""
    return float(gap / size) if size else 0.0 if not gap else float("inf")
