"""The probe of a plain PyTorch model that trains."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import ConflictRecord, GradientRecord, Ledger, LedgerWriter
from fpnprobe.probing.budget import Budget
from fpnprobe.probing.partition import LossPartition
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.provenance.marking import Annotations, Marking
from fpnprobe.probing.sample import Sample
from fpnprobe.probing.schedule import Schedule
from fpnprobe.probing.taps import Tap, level_of
from fpnprobe.scales import ScaleBucket


class Watch:
    """The probe of a model that trains; made by `watch`.

    Attributes:
        samples: What was measured so far, in order.
    """

    def __init__(
        self,
        probe: Probe,
        stages: Mapping[str, nn.Module],
        *,
        buckets: Sequence[ScaleBucket],
        schedule: Schedule | None,
        budget: Budget | None,
        writer: LedgerWriter | None,
    ) -> None:
        self.samples: list[Sample] = []
        self._probe, self._stages, self._buckets = probe, stages, buckets
        self._schedule, self._budget, self._writer = schedule, budget, writer
        self._iteration = 0
        self._features: dict[str, Tensor] = {}
        self._auxiliary: list[Tensor] = []
        self._marking: Marking | None = None
        self._due = self._is_due()

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

        Returns:
            The sample, or None where the iteration was not due.

        Raises:
            FpnProbeError: if the partition does not fit, or the model did not run.
        """
        iteration, due = self._iteration, self._due
        marking = self._marking
        self.forget_marks()
        try:
            if not due:
                return None
            if marking is not None and partition is None and rows is None:
                partition = marking.partition()
            whole = self._partition(partition, rows, labels)
            taps = self._taps()
            sample = self._probe.measure(
                loss, whole, taps, iteration=iteration, epoch=epoch, auxiliary=self._auxiliary
            )
            self.samples.append(sample)
            if self._writer is not None:
                self._writer.append(sample.records, sample.conflicts)
            return sample
        finally:
            self._features.clear()
            self._auxiliary.clear()
            self._iteration = iteration + 1
            self._due = self._is_due()

    def _partition(
        self,
        partition: LossPartition | Mapping[str, Tensor] | None,
        rows: Tensor | None,
        labels: Tensor | None,
    ) -> LossPartition:
        if isinstance(partition, LossPartition):
            return partition
        whole = LossPartition(tuple(self._buckets))
        if isinstance(partition, Mapping):
            for name, part in partition.items():
                whole.add_bucket(name, part)
        elif rows is not None and labels is not None:
            whole.add_rows(rows, labels)
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
        """Take a stage's output; the model's hooks call it."""
        if self._due and torch.is_grad_enabled():
            self._features[name] = feature

    def keep_auxiliary(self, _name: str, made: Tensor) -> None:
        """Take what an auxiliary head made; the model's hooks call it."""
        if self._due and torch.is_grad_enabled():
            self._auxiliary.append(made)

    def __repr__(self) -> str:
        return f"Watch({', '.join(self._stages)}; {len(self.samples)} samples)"
