"""Measure while a plain PyTorch model trains: no mmdet, no training framework."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fpnprobe.ledger import LedgerWriter
from fpnprobe.probing.budget import Budget
from fpnprobe.probing.cost import Cost
from fpnprobe.probing.probe import Mode, Probe, Terms
from fpnprobe.probing.schedule import Schedule
from fpnprobe.probing.taps import level_of, recorded, stage_modules
from fpnprobe.probing.watcher import Watch
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets


@contextmanager
def watch(
    model: nn.Module,
    *,
    taps: Mapping[str, nn.Module] | None = None,
    auxiliary: Iterable[nn.Module] = (),
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    interval: Schedule | int | Iterable[int] | Mapping[str, Any] = 1,
    budget: float | None = None,
    mode: Mode = "routes",
    terms: Terms = "none",
    out_dir: str | Path | None = None,
    study: str = "",
    variant: str = "",
    seed: int = 0,
) -> Iterator[Watch]:
    """Watch a model while it trains; every hook is gone afterwards.

    Args:
        model: The model.
        taps: Stages in order, shallow to deep: `C2`, `C3`, ... and pyramid levels `P2`, ... by
            name; without it, `layer1`..`layer4` of a ResNet.
        auxiliary: Modules whose consumers of a stage are the route `auxiliary`.
        buckets: Scale buckets.
        interval: Measure every so many iterations, or a `Schedule`, or a list of iterations.
        budget: Or: measure as often as this fraction of the training time allows.
        mode: `routes` or `full`, see `Probe`.
        terms: Split further, see `Probe`.
        out_dir: Also write the ledger there while training.
        study: Study, a column of the written ledger.
        variant: Variant, a column of the written ledger.
        seed: Seed, a column of the written ledger.

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
        FpnProbeError: if an option is wrong, or the model's stages are not found.
    """
    stages = dict(taps) if taps is not None else stage_modules(model)
    for name in stages:
        level_of(name)
    with ExitStack() as undo:
        writer = None
        if out_dir is not None:
            writer = undo.enter_context(
                LedgerWriter(out_dir, study=study, variant=variant, seed=seed)
            )
        on_gpu = any(p.is_cuda for p in model.parameters())
        cost = Cost(wait=torch.cuda.synchronize) if on_gpu else Cost()
        seen = Watch(
            Probe(mode, terms),
            stages,
            buckets=check_buckets(buckets),
            schedule=Schedule.of(interval) if budget is None else None,
            budget=None if budget is None else Budget(budget, cost=cost),
            writer=writer,
        )
        undo.enter_context(recorded(stages, seen.keep))
        heads = {str(i): head for i, head in enumerate(auxiliary)}
        undo.enter_context(recorded(heads, seen.keep_auxiliary))
        undo.callback(seen.forget_marks)
        yield seen
