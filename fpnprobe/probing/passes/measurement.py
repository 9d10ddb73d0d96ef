"""One probed iteration: its extra backward passes and what they add up to."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import Literal

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.calls import RowCotangents, masked
from fpnprobe.probing.graph_guards.checkpoints import refuse_reentrant, state_set_aside
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.backward import Passes, Place, Sink
from fpnprobe.probing.passes.closing import closed_for
from fpnprobe.probing.passes.moments import Compare, Gradients, Moments, plus, square
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.passes.summary import Totals, summarize
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.soundness.arithmetic import arithmetic_of
from fpnprobe.probing.soundness.underflow import QUANTUM, held_elements
from fpnprobe.probing.taps import Tap


class Measurement:
    """Gradients of every bucket at every tap, from one graph; made by `Probe.begin`.

    `run` makes K extra passes for K labels, or K - 1 with `derive`. The undivided gradient is
    either observed while the training makes its own backward pass (`total_from_backward`), or
    computed (`total_now`). `finish` gives the sample; leaving the context removes every hook.
    """

    def __init__(
        self,
        loss: Tensor,
        partition: LossPartition,
        taps: Sequence[Tap],
        *,
        parameters: bool = False,
        conflict: Literal["none", "parameter", "all"] = "none",
        terms: Sequence[str] = (),
        derive: bool = False,
        derived: int = -1,
        audit: Literal["exact", "sketch"] = "exact",
        arithmetic: str = "",
        weight: float = 1.0,
        loss_scale: float = 1.0,
        auxiliary: Sequence[Tensor] = (),
        reduction: Reduction | None = None,
        iteration: int = 0,
        epoch: int = 0,
    ) -> None:
        refuse_reentrant(loss)
        self._loss, self._partition, self._terms = loss, partition, tuple(terms)
        self._derived, self._wanted, self._audited = -1, derived, False
        made = [call.rows for call in partition.calls]
        made += [tap.activation for tap in taps if tap.activation is not None]
        self._arithmetic = arithmetic or arithmetic_of(made)
        self._held: dict[str, list[Tensor]] = {}
        self._weight, self._scale, self._step = weight, loss_scale, (iteration, epoch)
        self._reduction = reduction or Reduction()
        self._seconds = 0.0
        self._values = torch.zeros(len(partition.labels), dtype=torch.float64)
        self._passes = Passes(
            loss,
            taps,
            parameters=parameters,
            weight=weight,
            loss_scale=loss_scale,
            auxiliary=(*auxiliary, *partition.auxiliary_losses()),
            reduction=self._reduction,
        )
        # An exit's auxiliary part needs the graph, which the training's backward pass frees: then
        # nothing is derived, and the sum stands for the undivided gradient of that part.
        pulled = self._passes.pulled
        self._derive = derive and not pulled
        exact = self._derive or audit == "exact"
        self._moments = {
            place: Moments(
                len(partition.labels),
                size,
                gram=place.route == "total" and conflict in ("all", place.kind),
                compare=_compared(place, exact=exact, derive=self._derive, pulled=pulled),
            )
            for place, size in self._passes.places.items()
        }
        self._term_squares: dict[tuple[Place, str], list[Tensor]] = {}
        self._gaps: dict[tuple[Place, str], list[Tensor]] = {}

    def run(self) -> None:
        """Make the extra backward passes. The training graph is kept."""
        start = time.perf_counter()
        cotangents, values = self._partition.cotangents(self._loss, scale=self._passes.factor)
        self._values = values * self._weight
        if self._derive:
            self._derived = self._wanted if self._wanted >= 0 else self._largest(cotangents)
        with state_set_aside():
            for label in range(len(self._partition.labels)):
                if label != self._derived:
                    self._pass_rows(cotangents, label, "all", partial(self._add, label))
            for term in self._terms:
                for label in range(len(self._partition.labels)):
                    self._pass_rows(cotangents, label, term, partial(self._add_term, term))
        self._seconds += time.perf_counter() - start

    def _pass_rows(
        self, cotangents: Sequence[RowCotangents], label: int, term: str, sink: Sink
    ) -> None:
        rows, starts = masked(cotangents, label, term)
        with closed_for(cotangents, rows):
            self._passes.of_rows(rows, starts, sink)

    @contextmanager
    def total_from_backward(self) -> Iterator[None]:
        """Observe the undivided gradient while the training makes its backward pass inside."""
        with self._passes.observed(self._take_total):
            yield
        self._audited = True

    def total_now(self) -> None:
        """Compute the undivided gradient by one more pass. The training graph is kept."""
        start = time.perf_counter()
        with state_set_aside():
            self._passes.of_loss(self._take_total)
        self._audited = True
        self._seconds += time.perf_counter() - start

    def finish(self) -> Sample:
        """Turn what was measured into a sample.

        Raises:
            FpnProbeError: if the derived bucket has no undivided gradient to derive it from.
        """
        if self._derived >= 0 and not self._audited:
            raise FpnProbeError(
                "the largest bucket is to be derived but no backward pass was observed: run the "
                "training's backward inside total_from_backward(), or call total_now()"
            )
        start = time.perf_counter()
        totals = Totals(
            loss=self._loss.detach().double() * self._weight,
            values=self._values,
            moments=self._moments,
            terms=self._term_squares,
            gaps=self._gaps,
            frozen=self._passes.frozen,
            untrained=self._passes.untrained,
            rest=None if (rest := self._partition.rest_value) is None else rest * self._weight,
            audited=self._audited and self._derived < 0,
            arithmetic=self._arithmetic,
            counts=self._held,
        )
        sample = summarize(totals, self._partition, self._reduction, self._step)
        self._seconds += time.perf_counter() - start
        return sample.timed(self._passes.count, self._seconds)

    def close(self) -> None:
        """Remove every hook."""
        self._passes.close()

    def __enter__(self) -> "Measurement":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _add(self, label: int, found: Mapping[Place, Gradients]) -> None:
        parts: dict[str, Gradients] = {}
        for place, gradients in found.items():
            self._moments[place].add(label, gradients)
            if self._arithmetic == "float16":
                self._count(label, place, gradients)
            if place.kind == "activation" and place.route != "total":
                parts[place.tap] = plus(parts.get(place.tap, [None]), gradients)
        for place, gradients in found.items():
            if place.tap in parts and (place.kind, place.route) == ("activation", "total"):
                gap = plus(gradients, parts[place.tap], sign=-1)
                pair = [square(gap), square(gradients)]
                self._gaps.setdefault((place, "all"), []).extend(pair)

    def _count(self, label: int, place: Place, gradients: Gradients) -> None:
        if (place.kind, place.route) == ("activation", "total"):
            none = torch.zeros((), dtype=torch.float64)
            held = self._held.setdefault(place.tap, [none] * len(self._partition.labels))
            held[label] = held_elements(gradients[0]) * (QUANTUM / self._scale) ** 2

    def _add_term(self, term: str, found: Mapping[Place, Gradients]) -> None:
        for place, gradients in found.items():
            self._term_squares.setdefault((place, term), []).append(square(gradients))

    def _take_total(self, found: Mapping[Place, Gradients]) -> None:
        deeper, rest = None, {}
        for place, gradients in found.items():
            if place.route == "deeper" and self._derived >= 0:
                deeper = place
                continue
            rest[place.route] = self._moments[place].add_total(gradients, derived=self._derived)
        if deeper is not None:
            others = [rest[route] for route in ("direct", "auxiliary") if route in rest]
            left = reduce(partial(plus, sign=-1), others, rest["total"])
            self._moments[deeper].add_total(found[deeper])
            self._moments[deeper].derive(self._derived, left)

    def _largest(self, cotangents: Sequence[RowCotangents]) -> int:
        """Label with the most cotangent energy: its rounding error weighs least when derived."""
        energy = torch.zeros_like(self._values)
        for found in cotangents:
            labels = found.call.labels.reshape(-1)
            rows = found.cotangent.reshape(len(labels), -1).double().square().sum(1)
            energy.index_add_(0, labels[labels >= 0], rows[labels >= 0])
        return int(self._reduction.sum(energy).nan_to_num(posinf=0.0).argmax())


def _compared(place: Place, *, exact: bool, derive: bool, pulled: bool) -> Compare:
    """How a place's buckets are compared with its undivided gradient."""
    if place.route == "total":
        return "exact" if exact else "sketch"
    # Only a derived bucket needs sums by route; `deeper` then follows from the others.
    return "exact" if pulled or (derive and place.route != "deeper") else "nothing"
