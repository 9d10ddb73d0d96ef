"""The probe of a plain PyTorch model that trains."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.ledger import Ledger
from fpnprobe.probing.graph_guards.checkpoints import partial_checkpoints, state_set_aside
from fpnprobe.probing.graph_guards.compiled import eagerly
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.passes.update_scales import UpdateScales
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.provenance.marking import Annotations, Marking
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.soundness.arithmetic import WHOLE, arithmetic_of, whole_float32
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.probing.step_context import StepContext
from fpnprobe.probing.watch.loss_parts import LossParts, refuse_absent, to_partition
from fpnprobe.probing.watch.samples import WatchedSamples
from fpnprobe.probing.watch.stage_outputs import StageOutputs
from fpnprobe.scales import ScaleBucket

_LOG = logging.getLogger("fpnprobe")


class Watch:
    """The probe of a model that trains; made by `watch`.

    Attributes:
        outputs: The stage outputs of the current forward pass.
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
        sink: WatchedSamples,
        start: int = 0,
        strict: bool = False,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._probe, self._model, self._buckets = probe, model, buckets
        self._schedule, self._budget, self._sink = schedule, budget, sink
        self.soundness = Soundness(strict=strict, tell=_LOG.warning)
        self.outputs = StageOutputs(stages)
        self._iteration, self._due = start, False
        self._marking: Marking | None = None
        self._armed = ExitStack()

    def __enter__(self) -> "Watch":
        self._arm_iteration()
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

    def _arm_iteration(self) -> None:
        """Get ready for an iteration: where it is measured, nothing may hide its graph."""
        self._due = self.outputs.is_listening = self._is_due()
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
    def samples(self) -> list[Sample]:
        """The samples so far, in order; with an `out_dir` only the last one."""
        return self._sink.recent

    @property
    def ledger(self) -> Ledger:
        """The records so far."""
        return self._sink.ledger

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
            FpnProbeError: If the counts do not fit.
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
                in whole float32, where no missing term can hide under a wide tolerance; if it does
                not hold there, all later samples of reduced precision are unsound, too.

        Returns:
            The sample, or None where the iteration was not due.

        Raises:
            FpnProbeError: If the partition does not fit or is not part of the loss, a stage ran
                twice or the model did not run.
        """
        iteration, due, marking = self._iteration, self._due, self._marking
        self.outputs.is_listening = False
        self.forget_marks()
        try:
            if not due:
                return None
            loss_parts: Any = partition if rows is None or labels is None else (rows, labels)
            if marking is not None and loss_parts is None:
                loss_parts = marking.partition()
            sample = self._measure_loss(loss, loss_parts, iteration=iteration, epoch=epoch)
            if again is not None and self._needs_proof(sample):
                sample = self._prove_sample(sample, again)
            elif self.soundness.disproves(sample):
                sample = self.soundness.condemn(sample)
            self._sink.add(self.soundness.add(sample))
            self._tell_run(state="running", reason="")
            return sample
        finally:
            self._forget()
            self._iteration = iteration + 1
            self._arm_iteration()

    def _measure_loss(
        self, loss: Tensor, loss_parts: LossParts | None, *, iteration: int = 0, epoch: int = 0
    ) -> Sample:
        partition, taps = to_partition(loss_parts, self._buckets), self.outputs.taps()
        refuse_absent(partition, loss)
        tensors = [*self.outputs.features.values(), *(call.rows for call in partition.calls)]
        step = StepContext(
            iteration=iteration,
            epoch=epoch,
            auxiliary=tuple(self.outputs.auxiliary),
            arithmetic=arithmetic_of(tensors, autocast=self.outputs.autocast),
            scales=None if self._optimizer is None else UpdateScales(self._optimizer),
        )
        return self._probe.measure(loss, partition, taps, step)

    def _needs_proof(self, sample: Sample) -> bool:
        reduced = sample.verdict.arithmetic not in WHOLE
        return reduced and sample.finite and self.soundness.proof is None

    def _prove_sample(self, sample: Sample, again: Callable[[], tuple[Any, ...]]) -> Sample:
        """The sample under the verdict of the same step in whole float32."""
        self.outputs.forget()  # the guards of this iteration stay: the pass below needs them too
        self.outputs.is_listening = True
        devices = range(torch.cuda.device_count())
        with whole_float32(), state_set_aside(), torch.random.fork_rng(devices=devices):
            loss, *loss_parts = again()
            self.outputs.is_listening = False
            proof = self._measure_loss(
                loss, loss_parts[0] if len(loss_parts) == 1 else (loss_parts[0], loss_parts[1])
            )
        return self.soundness.prove(sample, proof.residuals)

    def _tell_run(self, **changes: str) -> None:
        probe = {**self.soundness.summary(), "mode": self._probe.mode}
        if self._budget is not None:
            cost = self._budget.cost.fraction
            probe |= {"budget": self._budget.fraction, "interval": self._budget.interval}
            probe |= {"cost": cost if cost == cost else None}
        elif self._schedule is not None:
            probe |= {"interval": self._schedule.interval}
        self._sink.update_run(self._iteration, probe, **changes)

    def _forget(self) -> None:
        self.outputs.forget()
        self._armed.close()

    def __repr__(self) -> str:
        return f"Watch({self.outputs}; {self.soundness.samples} samples)"
