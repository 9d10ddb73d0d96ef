"""The gradient probe as an mmengine hook: two settings in any mmdet config.

custom_imports = dict(imports=["fpnprobe.mm"])
custom_hooks = [dict(type="GradientProbeHook", mode="routes", budget=0.02)]
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import Intervention
from fpnprobe.interventions import intervention as ready_made
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.ledger import LedgerWriter
from fpnprobe.mm.hook.norms_observer import NormsObserver, stage_parameters
from fpnprobe.mm.hook.partition_observer import PartitionObserver
from fpnprobe.mm.hook.run_policy import RunPolicy
from fpnprobe.mm.hook.run_record import RunRecord, training_recorded
from fpnprobe.mm.hook.runner_facts import config_name
from fpnprobe.mm.hook.session import (
    FlushedObserver,
    areas_carried,
    around_training,
    leave_loop_alone,
    steps_observed,
    waiter,
)
from fpnprobe.mm.hook.statistics import Account
from fpnprobe.probing.graph_guards.wrappers import refuse_sharded
from fpnprobe.probing.passes.distributed import process_reduction
from fpnprobe.probing.probe import Probe, Terms
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.scales import stored_buckets

INTERVALS: Mapping[str, int] = {"norms": 1, "routes": 50, "full": 100}


@HOOKS.register_module()
class GradientProbeHook(Hook):
    """Writes the gradient ledger of a training, and leaves the training as it is.

    Gradients are those of the loss as used in the step (after the factor of accumulation), of the
    global batch, before clipping, without the loss scale of fp16. An `iteration` is one forward
    pass; under accumulation each is measured by itself, except in mode `norms`.

    Args:
        mode: `norms`: norm of each stage's parameter gradient. `routes`: activation gradients by
            bucket and route. `full`: also parameter gradients by bucket, and their cosines.
        interval: Iterations between two samples (1, 50 or 100 by mode), a list of iterations, or
            `{"log": count, "last": iteration}`. A budget replaces it.
        budget: Fraction of the training time that samples may take, such as 0.02; the probe
            measures its cost and sets the interval. Modes `routes` and `full`.
        buckets: `ScaleBucket`s or (name, low, high) in px^2; COCO's by default.
        terms: Split further by loss term (`loss`), pyramid level (`level`), or `both`.
        audit: Every how many samples the sum over buckets is compared with the undivided gradient,
            by a sketch that keeps no gradient in memory. In the others the undivided gradient gives
            the largest bucket, which saves a backward pass and keeps a sum for each tap.
        out_dir: Folder of `ledger.parquet`; the runner's work_dir by default.
        study: Column of the ledger.
        variant: Column of the ledger; by default the name of the config.
        seed: Column of the ledger; by default that of the run's `randomness`, else 0.
        area: "box" takes the area of an object from its box, for data sets that have no `area`
            (VOC, CrowdHuman); by default it is the annotation's own.
        intervention: Gains on chosen objects and routes in the backward pass of every step, as
            plain data or the name of a ready-made one; see `fpnprobe.interventions`. The ledger
            then holds the gradient before the gains.
        strict: Stop the training where an invariant does not hold; by default that is a warning,
            and the sample's rows are `unsound`.
        run_file: Write `fpnprobe.json` and the AP of each validation beside the ledger, which
            makes the folder a run for `fpnprobe report`.

    >>> GradientProbeHook(mode="full", budget=0.02)
    GradientProbeHook(mode='full', budget=0.02)
    """

    priority = "LOW"  # after the hooks that exchange pipelines at the beginning of an epoch

    def __init__(
        self,
        mode: str = "routes",
        *,
        interval: Any = None,
        budget: float | None = None,
        buckets: Sequence[Any] | None = None,
        terms: Terms = "none",
        audit: int = 1,
        out_dir: str | None = None,
        study: str = "",
        variant: str = "",
        seed: int | None = None,
        area: str | None = None,
        intervention: Any = None,
        strict: bool = False,
        run_file: bool = True,
    ) -> None:
        if mode not in INTERVALS:
            raise FpnProbeError(f"probe mode {mode!r}: expected one of {', '.join(INTERVALS)}")
        if audit < 1:
            raise FpnProbeError(f"audit={audit}: expected 1 or more samples")
        if area not in (None, "box"):
            raise FpnProbeError(f"area={area!r}: expected 'box', or None for the annotation's own")
        self.mode, self.audit, self.out_dir, self.area = mode, audit, out_dir, area
        self._names = study, variant, seed
        self._logger, self._warned = cast(Any, None), set[str]()
        schedule = Schedule.of(INTERVALS[mode] if interval is None else interval)
        self.buckets = stored_buckets(buckets)
        # A sample of mode `norms` is next to free: there is nothing that a budget could set.
        self.account = Account(
            mode,
            schedule=schedule,
            budget=None if mode == "norms" else budget,
            strict=strict,
            tell=self._warn,
        )
        self._writes_run_file, self._run = run_file, cast("RunRecord | None", None)
        self._probe = None if mode == "norms" else Probe(mode, terms=terms)  # type: ignore[arg-type]
        self._intervened: IntervenedBackward | None = None
        if intervention is not None:
            if mode == "norms":
                raise FpnProbeError(
                    "an intervention needs the loss as labeled rows, which probe mode norms does "
                    "not make: use mode routes or full"
                )
            plain = ready_made(intervention) if isinstance(intervention, str) else intervention
            self._intervened = IntervenedBackward(Intervention.of(plain))
        self._observer: FlushedObserver | None = None
        self._refresh: Callable[[], None] | None = None
        self._writer: LedgerWriter | None = None
        self._rows: dict[str, int] = {}  # of the ledger when the checkpoint was made

    def __repr__(self) -> str:
        budget, schedule = self.account.budget, self.account.schedule
        sampling = f"budget={budget.fraction}" if budget else repr(schedule)
        return f"GradientProbeHook(mode={self.mode!r}, {sampling})"

    def before_run(self, runner: Any) -> None:
        """Put the coming training inside the probe."""
        around_training(runner, lambda: self._probe_training(runner))

    def after_run(self, runner: Any) -> None:
        """Nothing is left, even if no training came."""
        leave_loop_alone(runner)

    def before_train_epoch(self, _runner: Any) -> None:
        """Follow objects through a pipeline that another hook has just put in."""
        if self._refresh is not None:
            self._refresh()

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned and self._logger is not None and is_main_process():
            self._warned.add(sentence)
            self._logger.warning(f"fpnprobe: {sentence}")

    def _name_cell(self, runner: Any) -> dict[str, Any]:
        study, variant, seed = self._names
        drawn = getattr(runner, "_randomness_cfg", {}).get("seed") if seed is None else seed
        return {"study": study, "variant": variant or config_name(runner), "seed": drawn or 0}

    def _describe_sampling(self) -> str:
        budget, schedule = self.account.budget, self.account.schedule
        if budget:
            return f"mode {self.mode}, budget {100 * budget.fraction:g} %"
        every = f"every {schedule.interval} iterations" if schedule.interval else repr(schedule)
        return f"mode {self.mode}, {every}"

    @contextmanager
    def _probe_training(self, runner: Any) -> Iterator[None]:
        with ExitStack() as undo:
            undo.callback(self._forget)
            refuse_sharded(runner.model)
            self._logger = runner.logger
            folder, cell = Path(self.out_dir or runner.work_dir), self._name_cell(runner)
            if is_main_process():
                self._writer = undo.enter_context(
                    LedgerWriter(folder, **cell, resume_at=runner.iter, resume_rows=self._rows)
                )
                if self._writes_run_file:
                    self._run = undo.enter_context(
                        training_recorded(
                            runner,
                            folder,
                            cell,
                            buckets=self.buckets,
                            probe=self._describe_sampling(),
                            area=self.area,
                            summary=self.summary,
                        )
                    )
            if self._probe is not None:
                self._refresh = undo.enter_context(areas_carried(runner, area=self.area))
                self.account.cost.wait = waiter(runner.model)
            self._observer = self._make_observer(runner)
            undo.enter_context(steps_observed(runner, self._observer))
            yield

    def _forget(self) -> None:
        self._writer = self._refresh = self._observer = self._run = None

    def _make_observer(self, runner: Any) -> FlushedObserver:
        policy = RunPolicy(
            runner,
            self.account,
            audit=self.audit,
            buckets=self.buckets,
            writer=self._writer,
            warn=self._warn,
            report_progress=self._report_progress,
        )
        if self._probe is None:
            return NormsObserver(
                runner.optim_wrapper, stage_parameters(runner.model), policy=policy
            )
        reduction = process_reduction()
        if self._intervened is not None:
            self._intervened.reduction = reduction
        return PartitionObserver(
            runner.model,
            runner.optim_wrapper,
            probe=replace(self._probe, reduction=reduction, conflict="parameter", audit="sketch"),
            buckets=self.buckets,
            policy=policy,
            intervened=self._intervened,
            soundness=self.account.soundness,
        )

    def _report_progress(self, iterations: int) -> None:
        if self._run is not None:
            self._run.progress(iterations, self.summary())

    def flush(self) -> None:
        """Write what mode `norms` holds back, before a checkpoint for instance."""
        if self._observer is not None:
            self._observer.flush()

    def summary(self) -> dict[str, Any]:
        """Mode, interval, budget, cost, samples, worst residuals and circumstances, as JSON."""
        changed = None if self._intervened is None else self._intervened.intervention.to_data()
        area = "the annotation's own" if self.area is None else "that of the box"
        return {**self.account.summary(), "intervention": changed, "area": area}

    def before_val(self, runner: Any) -> None:
        """Let the evaluator keep its detections."""
        if self._run is not None:
            self._run.validations.dump_detections(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Keep the AP of a validation."""
        if self._run is not None:
            self._run.validations.take(runner, metrics)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run goes on from."""
        energy = {} if self._intervened is None else self._intervened.state_dict()
        rows = self._rows if self._writer is None else dict(self._writer.rows)
        return {**self.account.state_dict(), "intervention": energy, "rows": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.account.load_state_dict(state)
        self._rows = dict(state.get("rows") or {})
        if self._intervened is not None:
            self._intervened.load_state_dict(state["intervention"])

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the probe's state in mmengine's checkpoints."""
        self.flush()
        checkpoint["fpnprobe"] = self.state_dict()
        self._report_progress(runner.iter)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was made."""
        if runner._resume and "fpnprobe" in checkpoint:
            self.load_state_dict(checkpoint["fpnprobe"])
