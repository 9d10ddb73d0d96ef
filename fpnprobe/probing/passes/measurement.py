"""One probed iteration: its extra backward passes and what they add up to."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, reduce

import torch
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.calls import RowCotangents, masked
from fpnprobe.probing.graph_guards.checkpoints import refuse_reentrant, state_set_aside
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.backward import Passes, Sink
from fpnprobe.probing.passes.closing import closed_for
from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.measurement_plan import MeasurementPlan, choose_comparison
from fpnprobe.probing.passes.moments import Gradients, GramAccumulator, plus, square
from fpnprobe.probing.passes.summary import Totals, summarize
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.soundness.arithmetic import arithmetic_of
from fpnprobe.probing.soundness.underflow import QUANTUM, count_nonzero
from fpnprobe.probing.step_context import StepContext
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
        plan: MeasurementPlan,
        step: StepContext,
    ) -> None:
        refuse_reentrant(loss)
        self._loss, self._partition, self._plan, self._step = loss, partition, plan, step
        self._derived, self._audited = -1, False
        tensors = [call.rows for call in partition.calls]
        tensors += [tap.activation for tap in taps if tap.activation is not None]
        self._arithmetic = step.arithmetic or arithmetic_of(tensors)
        self._nonzero_counts: dict[str, list[Tensor]] = {}
        self._seconds = 0.0
        self._values = torch.zeros(len(partition.labels), dtype=torch.float64)
        self._passes = Passes(
            loss,
            taps,
            parameters=plan.parameters,
            step=replace(step, auxiliary=(*step.auxiliary, *partition.auxiliary_losses())),
            reduction=plan.reduction,
        )
        # An exit's auxiliary part needs the graph, which the training's backward pass frees: then
        # nothing is derived, and the sum stands for the undivided gradient of that part.
        has_split_exits = self._passes.has_split_exits
        self._derive = plan.derive and not has_split_exits
        exact = self._derive or plan.audit == "exact"
        self._moments = {
            key: GramAccumulator(
                len(partition.labels),
                size,
                gram=key.route == "total" and plan.conflict in ("all", key.kind),
                compare=choose_comparison(
                    key, exact=exact, derive=self._derive, has_split_exits=has_split_exits
                ),
                scale=self._scale_at(key),
            )
            for key, size in self._passes.keys.items()
        }
        self._term_squares: dict[tuple[GradientKey, str], list[Tensor]] = {}
        self._gaps: dict[tuple[GradientKey, str], list[Tensor]] = {}

    def _scale_at(self, key: GradientKey) -> Callable[[int], Tensor] | None:
        scales, parameters = self._step.scales, self._passes.parameters_of(key.tap)
        if scales is None or key.kind != "parameter" or not scales.cover(parameters):
            return None
        return lambda i: scales.scale(parameters[i])

    def run(self) -> None:
        """Make the extra backward passes. The training graph is kept."""
        start = time.perf_counter()
        cotangents, values = self._partition.cotangents(self._loss, scale=self._passes.factor)
        self._values = values * self._step.weight
        if self._derive:
            chosen_label = self._plan.derived
            self._derived = chosen_label if chosen_label >= 0 else self._largest(cotangents)
        with state_set_aside():
            for label in range(len(self._partition.labels)):
                if label != self._derived:
                    self._pass_rows(cotangents, label, "all", partial(self._add, label))
            for term in self._plan.terms:
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
            FpnProbeError: If the derived bucket has no undivided gradient to derive it from.
        """
        if self._derived >= 0 and not self._audited:
            raise FpnProbeError(
                "the largest bucket is to be derived but no backward pass was observed: run the "
                "training's backward inside total_from_backward(), or call total_now()"
            )
        start = time.perf_counter()
        totals = Totals(
            loss=self._loss.detach().double() * self._step.weight,
            values=self._values,
            moments=self._moments,
            terms=self._term_squares,
            gaps=self._gaps,
            frozen=self._passes.frozen,
            untrained=self._passes.untrained,
            rest=None
            if (unlabeled := self._partition.rest_value) is None
            else unlabeled * self._step.weight,
            audited=self._audited and self._derived < 0,
            arithmetic=self._arithmetic,
            counts=self._nonzero_counts,
        )
        sample = summarize(totals, self._partition, self._plan.reduction, self._step)
        self._seconds += time.perf_counter() - start
        return sample.timed(self._passes.count, self._seconds)

    def close(self) -> None:
        """Remove every hook."""
        self._passes.close()

    def __enter__(self) -> "Measurement":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _add(self, label: int, by_place: Mapping[GradientKey, Gradients]) -> None:
        route_sums: dict[str, Gradients] = {}
        for key, gradients in by_place.items():
            self._moments[key].add(label, gradients)
            if self._arithmetic == "float16":
                self._count(label, key, gradients)
            if key.kind == "activation" and key.route != "total":
                route_sums[key.tap] = plus(route_sums.get(key.tap, [None]), gradients)
        for key, gradients in by_place.items():
            if key.tap in route_sums and (key.kind, key.route) == ("activation", "total"):
                gap = plus(gradients, route_sums[key.tap], sign=-1)
                pair = [square(gap), square(gradients)]
                self._gaps.setdefault((key, "all"), []).extend(pair)

    def _count(self, label: int, key: GradientKey, gradients: Gradients) -> None:
        if (key.kind, key.route) == ("activation", "total"):
            none = torch.zeros((), dtype=torch.float64)
            counts = self._nonzero_counts.setdefault(key.tap, [none] * len(self._partition.labels))
            quantum = QUANTUM / self._step.loss_scale
            counts[label] = count_nonzero(gradients[0]) * quantum**2

    def _add_term(self, term: str, by_place: Mapping[GradientKey, Gradients]) -> None:
        for key, gradients in by_place.items():
            self._term_squares.setdefault((key, term), []).append(square(gradients))

    def _take_total(self, by_place: Mapping[GradientKey, Gradients]) -> None:
        deeper, by_route = None, {}
        for key, gradients in by_place.items():
            if key.route == "deeper" and self._derived >= 0:
                deeper = key
                continue
            by_route[key.route] = self._moments[key].add_total(gradients, derived=self._derived)
        if deeper is not None:
            known_routes = [by_route[name] for name in ("direct", "auxiliary") if name in by_route]
            remainder = reduce(partial(plus, sign=-1), known_routes, by_route["total"])
            self._moments[deeper].add_total(by_place[deeper])
            self._moments[deeper].derive(self._derived, remainder)

    def _largest(self, cotangents: Sequence[RowCotangents]) -> int:
        """Label with the most cotangent energy: its rounding error weighs least when derived."""
        energy = torch.zeros_like(self._values)
        for row_cotangents in cotangents:
            labels = row_cotangents.call.labels.reshape(-1)
            rows = row_cotangents.cotangent.reshape(len(labels), -1).double().square().sum(1)
            energy.index_add_(0, labels[labels >= 0], rows[labels >= 0])
        return int(self._plan.reduction.sum(energy).nan_to_num(posinf=0.0).argmax())
