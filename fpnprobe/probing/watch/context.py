"""Measure while a plain PyTorch model trains: no mmdet, no training framework."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger, LedgerWriter
from fpnprobe.ledger.parts import read as read_table
from fpnprobe.probing.graph_guards.wrappers import refuse_sharded, refuse_static_graph
from fpnprobe.probing.passes.distributed import (
    agree_on_first,
    is_first_process,
    meet_all_processes,
    process_reduction,
)
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.probe import Mode, Probe, Terms
from fpnprobe.probing.sampling.budget import Budget
from fpnprobe.probing.sampling.cost import Cost
from fpnprobe.probing.sampling.schedule import Schedule
from fpnprobe.probing.taps import level_of, recorded, stage_modules
from fpnprobe.probing.watch.samples import WatchedSamples
from fpnprobe.probing.watch.watcher import Watch
from fpnprobe.scales import COCO_BUCKETS, BucketLike, check_buckets
from fpnprobe.store.run_file import RunFile, describe_run

Batch = Literal["global", "own"]


@contextmanager
def watch(
    model: nn.Module,
    *,
    taps: Mapping[str, nn.Module] | None = None,
    auxiliary: Iterable[nn.Module] = (),
    buckets: Sequence[BucketLike] = COCO_BUCKETS,
    interval: Schedule | int | Iterable[int] | Mapping[str, Any] = 1,
    budget: float | None = None,
    mode: Mode = "routes",
    terms: Terms = "none",
    out_dir: str | Path | None = None,
    start: int | None = None,
    strict: bool = False,
    study: str = "",
    variant: str = "",
    seed: int = 0,
    batch: Batch = "global",
    optimizer: torch.optim.Optimizer | None = None,
) -> Iterator[Watch]:
    """Watch a model while it trains; every hook is gone afterwards.

    Args:
        model: The model.
        taps: Stages in order, shallow to deep: `C2`, `C3`, ... and pyramid levels `P2`, ... by
            name; without it, `layer1`..`layer4` of a ResNet.
        auxiliary: Modules whose consumers of a stage are the route `auxiliary`.
        buckets: Scale buckets, `ScaleBucket`s or (name, low, high) in px^2; COCO's by default.
        interval: Measure every so many iterations, or a `Schedule`, or a list of iterations.
        budget: Or: measure as often as this fraction of the training time allows.
        mode: `routes` or `full`, see `Probe`.
        terms: Split further, see `Probe`.
        out_dir: Also write the ledger there while training, and `fpnprobe.json`, which makes the
            folder a run for `fpnprobe report`.
        start: Number of the first iteration. A training that goes on from a checkpoint gives it,
            and its ledger in `out_dir` is kept up to there.
        strict: Raise where an invariant does not hold; by default it is logged and the rows have
            the state `unsound`.
        study: Study, a column of the written ledger.
        variant: Variant, a column of the written ledger.
        seed: Seed, a column of the written ledger.
        batch: Whose gradients are measured in a distributed run (DDP): of the `global` batch, for
            which every process enters and the first one writes; or of the process' `own` part.
        optimizer: Of Adam's kind: mode `full` then tells each bucket's part of the step, too (kind
            `update`, see `UpdateScales`).

    >>> import fpnprobe
    >>> _ = torch.manual_seed(0)
    >>> layer1, layer2, head = (torch.nn.Linear(4, 4) for _ in range(3))
    >>> model = torch.nn.ModuleDict({"layer1": layer1, "layer2": layer2})
    >>> labels = torch.tensor([0, 0, 1, 2, 3, 3])
    >>> with fpnprobe.watch(model, interval=2) as probe:
    ...     for _ in range(4):
    ...         c2 = layer1(torch.ones(6, 4)); c3 = layer2(c2.tanh())
    ...         rows = head(c2 + c3).square().mean(1)
    ...         loss = rows.mean()
    ...         _ = probe.measure(loss, rows=rows, labels=labels)
    ...         loss.backward()
    >>> sorted(probe.ledger.frame.iteration.unique().tolist())
    [0, 2]
    >>> bool(probe.ledger.frame.residual_gradient.max() < 1e-5)
    True

    Raises:
        FpnProbeError: If an option is wrong, the model's stages are not found, or `out_dir` holds
            a ledger and `start` is not given: a ledger is never overwritten. Also if parameters
            are sharded (FSDP), or another process does not enter.
    """
    if batch not in get_args(Batch):
        raise FpnProbeError(f"batch={batch!r}: expected one of {', '.join(get_args(Batch))}")
    refuse_sharded(model)
    refuse_static_graph(model)
    if batch == "global":
        meet_all_processes()
    stages = dict(taps) if taps is not None else stage_modules(model)
    for name in stages:
        level_of(name)
    reduction = process_reduction() if batch == "global" else Reduction()
    # Every option is checked before a file is written: a refused one leaves the folder as it was.
    checked, probe = check_buckets(buckets), Probe(mode, terms, reduction=reduction)
    on_gpu = any(p.is_cuda for p in model.parameters())
    schedule = Schedule.of(interval) if budget is None else None
    cost = Cost(wait=torch.cuda.synchronize) if on_gpu else Cost()
    limit = None if budget is None else _make_budget(budget, cost, batch)
    stage_facts = _describe_stages(stages)
    with ExitStack() as undo:
        writer = run = None
        name = variant or (Path(out_dir).resolve().name if out_dir is not None else "")
        if out_dir is not None and (batch == "own" or is_first_process()):
            _refuse_to_overwrite(Path(out_dir), start)
            writer = undo.enter_context(
                LedgerWriter(out_dir, study=study, variant=name, seed=seed, resume_at=start or 0)
            )
            run = RunFile(
                out_dir,
                describe_run(
                    made_by="watch",
                    variant=name,
                    seed=seed,
                    study=study,
                    buckets=checked,
                    device="cuda" if on_gpu else "cpu",
                    stages=stage_facts,
                ),
            )
        watcher = Watch(
            probe,
            model,
            stages,
            buckets=checked,
            schedule=schedule,
            budget=limit,
            sink=WatchedSamples(
                out_dir=None if out_dir is None else Path(out_dir), writer=writer, run=run
            ),
            start=start or 0,
            strict=strict,
            optimizer=optimizer,
        )
        undo.enter_context(watcher)
        undo.enter_context(recorded(stages, watcher.outputs.record))
        heads = {str(i): head for i, head in enumerate(auxiliary)}
        undo.enter_context(recorded(heads, watcher.outputs.record_auxiliary))
        undo.callback(watcher.forget_marks)
        yield watcher


def _make_budget(fraction: float, cost: Cost, batch: Batch) -> Budget:
    """The budget; processes that measure together measure at the same iterations."""
    if batch == "global":
        return Budget(fraction, cost=cost, agree=agree_on_first)
    return Budget(fraction, cost=cost)


def _refuse_to_overwrite(out_dir: Path, start: int | None) -> None:
    if start is not None and start < 0:
        raise FpnProbeError(f"start={start}: expected the number of an iteration, 0 or more")
    if read_table(out_dir, "ledger") is None:
        return
    steps = Ledger.read(out_dir).frame.iteration
    if start is None and len(steps):
        raise FpnProbeError(
            f"{out_dir} holds a ledger of iterations {steps.min()}..{steps.max()}: give "
            f"start={steps.max() + 1} to go on after it (or the iteration of the checkpoint that "
            "the training goes on from), or another out_dir"
        )


def _describe_stages(stages: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """Tell by name which stages train."""
    return {
        name: {"frozen": not any(p.requires_grad for p in module.parameters())}
        for name, module in stages.items()
        if name.startswith("C")
    }
