"""The probe of a plain PyTorch model that trains."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import ConflictRecord, GradientRecord, Ledger, LedgerWriter
from fpnprobe.probing.graph_guards.checkpoints import partial_checkpoints, state_set_aside
from fpnprobe.probing.graph_guards.compiled import eagerly
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.provenance.marking import Annotations, Marking
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.soundness.arithmetic import WHOLE, arithmetic_of, autocast_type, whole_float32
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.probing.taps import Tap, level_of
from fpnprobe.scales import ScaleBucket
from fpnprobe.store.run_file import RunFile

_LOG = logging.getLogger("fpnprobe")
Parts = LossPartition | Mapping[str, Tensor] | tuple[Tensor, Tensor]


class Watch:
    """The probe of a model that trains; made by `watch`.

    Attributes:
        samples: What was measured so far, in order; with an `out_dir` only the last one, since the
            others are in the ledger there.
        soundness: Counts the samples and says what is wrong with them.
    """

    def __init__(
        self,
        probe: Probe,
        model: nn.Module,
        stages: Mapping[str, nn.Module],
        *,
        buckets: Sequence[ScaleBucket],
        schedule: Schedule | None,
        budget: Budget | None,
        writer: LedgerWriter | None,
        run: RunFile | None = None,
        start: int = 0,
        strict: bool = False,
        out_dir: Path | None = None,
    ) -> None:
        self.samples: list[Sample] = []
        self._probe, self._model, self._stages, self._buckets = probe, model, stages, buckets
        self._schedule, self._budget, self._writer, self._run = schedule, budget, writer, run
        self.soundness = Soundness(strict=strict, tell=_LOG.warning)
        self._iteration, self._out_dir = start, out_dir
        self._features: dict[str, Tensor] = {}
        self._auxiliary: list[Tensor] = []
        self._autocast: torch.dtype | None = None
        self._marking: Marking | None = None
        self._listening, self._due = False, False
        self._armed = ExitStack()

    def __enter__(self) -> "Watch":
        self._arm()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _trace: object) -> None:
        self._armed.close()
        self.forget_marks()
        self._due = False
        state = "done" if kind is None else "failed" if kind is not KeyboardInterrupt else ""
        self._tell_run(state=state or "interrupted", reason=str(error or "")[:200])
        if self.soundness.samples == 0 and kind is None:
            _LOG.warning(
                "no sample was taken: call probe.measure(loss, ...) once in every iteration"
            )

    def _arm(self) -> None:
        """Get ready for an iteration: where it is measured, nothing may hide its graph."""
        self._due = self._listening = self._is_due()
        if self._due:
            self._armed.enter_context(partial_checkpoints(self.soundness.note))
            self._armed.enter_context(eagerly(self._model, self.soundness.note))

    def _is_due(self) -> bool:
        if self._budget is not None:
            return self._budget.begin(self._iteration)
        return self._schedule is not None and self._schedule.due(self._iteration)

    @property
    def due(self) -> bool:
        """Whether this iteration will be measured."""
        return self._due

    @property
    def ledger(self) -> Ledger:
        """The records so far."""
        if self._out_dir is not None:
            return Ledger.read(self._out_dir)
        records: list[GradientRecord] = [r for s in self.samples for r in s.records]
        conflicts: list[ConflictRecord] = [c for s in self.samples for c in s.conflicts]
        return Ledger.of(records, conflicts)

    def mark(
        self,
        boxes: Annotations,
        labels: Annotations,
        *,
        areas: Sequence[float] | Annotations,
        masks: Annotations | None = None,
    ) -> None:
        """Call before the model in every iteration; `measure(loss)` then knows whose each row is.

        The annotations are followed through the operators that make targets out of them, until
        `measure`; nothing that the model computes is changed. Where the iteration is not due,
        nothing happens.

        Args:
            boxes: Boxes `(N, 4)` of the batch, or one tensor for each image: the very tensors
                that the model is given.
            labels: Class labels `(N,)` in the same way.
            areas: Annotation area of each object, in px^2 of the original image.
            masks: Masks or other annotations `(N, ...)` that the model is given.

        Raises:
            FpnProbeError: if the counts do not fit.
        """
        self.forget_marks()
        if self._due:
            self._marking = Marking(
                boxes, labels, areas=areas, masks=masks, buckets=self._buckets
            ).__enter__()

    def mark_rows(self, target: Tensor, numbers: Tensor) -> None:
        """Say whose the rows of a target are, where it was not made by torch operators.

        Args:
            target: A target `(R, ...)`, before it is given to its loss.
            numbers: Number of each row's object, counted through the batch, -1 for background.
        """
        if self._marking is not None:
            self._marking.mark_rows(target, numbers)

    def forget_marks(self) -> None:
        """Stop following the objects of an iteration; doing it twice is harmless."""
        marking, self._marking = self._marking, None
        if marking is not None:
            marking.__exit__()

    def measure(
        self,
        loss: Tensor,
        partition: LossPartition | Mapping[str, Tensor] | None = None,
        *,
        rows: Tensor | None = None,
        labels: Tensor | None = None,
        epoch: int = 0,
        again: Callable[[], tuple[Any, ...]] | None = None,
    ) -> Sample | None:
        """Call once in every iteration, before `loss.backward()`; measures where it is due.

        Args:
            loss: The scalar training loss.
            partition: A `LossPartition`, or the loss of each bucket by its name (and
                `background`); their sum must be the loss.
            rows: Or: the unreduced loss `(R, ...)` that `loss` was reduced from.
            labels: And the label of each row, `(R,)`: index of its bucket, or their number for
                background.
            epoch: 0-based epoch, for the ledger.
            again: Makes the same forward pass once more and returns `loss, partition` or
                `loss, rows, labels`. In reduced precision the first sample is then measured again
                in whole float32, where no missing term can hide under a wide tolerance.

        Returns:
            The sample, or None where the iteration was not due.

        Raises:
            FpnProbeError: if the partition does not fit or is not part of the loss, a stage ran
                twice or the model did not run.
        """
        iteration, due, self._listening = self._iteration, self._due, False
        marking = self._marking
        self.forget_marks()
        try:
            if not due:
                return None
            parts: Any = partition if rows is None or labels is None else (rows, labels)
            if marking is not None and parts is None:
                parts = marking.partition()
            sample = self._measured(loss, parts, iteration=iteration, epoch=epoch)
            if again is not None and self._needs_proof(sample):
                sample = self._proven(sample, again)
            self._add(self.soundness.add(sample))
            return sample
        finally:
            self._forget()
            self._iteration = iteration + 1
            self._arm()

    def _measured(
        self, loss: Tensor, parts: Parts | None, *, iteration: int = 0, epoch: int = 0
    ) -> Sample:
        whole, taps = self._partition(parts), self._taps()
        _refuse_absent(whole, loss)
        made = [*self._features.values(), *(call.rows for call in whole.calls)]
        return self._probe.measure(
            loss,
            whole,
            taps,
            iteration=iteration,
            epoch=epoch,
            auxiliary=self._auxiliary,
            arithmetic=arithmetic_of(made, autocast=self._autocast),
        )

    def _needs_proof(self, sample: Sample) -> bool:
        return sample.verdict.arithmetic not in WHOLE and self.soundness.proof is None

    def _proven(self, sample: Sample, again: Callable[[], tuple[Any, ...]]) -> Sample:
        """The sample under the verdict of the same step in whole float32."""
        self._forget()
        self._listening = True
        devices = range(torch.cuda.device_count())
        with whole_float32(), state_set_aside(), torch.random.fork_rng(devices=devices):
            loss, *parts = again()
            self._listening = False
            found = self._measured(loss, parts[0] if len(parts) == 1 else (parts[0], parts[1]))
        return self.soundness.prove(sample, found.residuals)

    def _add(self, sample: Sample) -> None:
        if self._out_dir is None:
            self.samples.append(sample)
            return
        self.samples = [sample]
        if self._writer is not None:  # in one process of several
            self._writer.append(sample.records, sample.conflicts)
        self._tell_run(state="running", reason="")

    def _tell_run(self, **changes: str) -> None:
        if self._run is not None:
            told = {**self.soundness.summary(), "mode": self._probe.mode}
            if self._budget is not None:
                cost = self._budget.cost.fraction
                told |= {"budget": self._budget.fraction, "interval": self._budget.interval}
                told |= {"cost": cost if cost == cost else None}
            elif self._schedule is not None:
                told |= {"interval": self._schedule.interval}
            self._run.update(iteration=self._iteration, probe=told, **changes)

    def _forget(self) -> None:
        self._features.clear()
        self._auxiliary.clear()
        self._armed.close()

    def _partition(self, parts: Parts | None) -> LossPartition:
        if isinstance(parts, LossPartition):
            return parts
        whole = LossPartition(tuple(self._buckets))
        if isinstance(parts, Mapping):
            for name, part in parts.items():
                whole.add_bucket(name, part)
        elif isinstance(parts, tuple):
            whole.add_rows(*parts)
        else:
            raise FpnProbeError(
                "measure(loss) needs the parts of the loss: a LossPartition, a dict of one loss "
                "for each bucket, or rows= with labels=; or call mark(boxes, labels, areas=...) "
                "before the model"
            )
        return whole

    def _taps(self) -> list[Tap]:
        if not self._features:
            raise FpnProbeError("no stage ran in this iteration: run the model inside watch()")
        return [
            Tap(
                name,
                level_of(name),
                self._features.get(name),
                tuple(module.parameters()) if name[0] == "C" else (),
                routed=name[0] == "C",
            )
            for name, module in self._stages.items()
        ]

    def keep(self, name: str, feature: Tensor) -> None:
        """Take a stage's output; the model's hooks call it.

        Raises:
            FpnProbeError: if the stage ran before in this iteration.
        """
        if self._listening and torch.is_grad_enabled():
            if name in self._features:
                raise FpnProbeError(
                    f"{name} ran twice before measure(): the probe reads one map of each stage; "
                    "call measure() once for each forward pass, or make the other one under "
                    "torch.no_grad()"
                )
            self._features[name] = feature
            self._autocast = autocast_type(feature.device.type)

    def keep_auxiliary(self, _name: str, made: Tensor) -> None:
        """Take what an auxiliary head made; the model's hooks call it."""
        if self._listening and torch.is_grad_enabled():
            self._auxiliary.append(made)

    def __repr__(self) -> str:
        return f"Watch({', '.join(self._stages)}; {self.soundness.samples} samples)"


def _refuse_absent(whole: LossPartition, loss: Tensor) -> None:
    absent = whole.absent(loss)
    if absent is not None:
        raise FpnProbeError(
            f"{absent.name}: these rows are no part of the loss, which does not depend on them: "
            "give the tensor that the loss was reduced from, not a copy, and not detached"
        )
