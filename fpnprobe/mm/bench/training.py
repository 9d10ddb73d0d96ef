"""Seconds per iteration of a runner, without its first iterations."""

import contextlib
import io
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.config.schema_parts import ProbeSpec
from fpnprobe.mm import quiet
from fpnprobe.mm.bench.batch_shapes import ShapesHook
from fpnprobe.mm.bench.probe import INTERVALS
from fpnprobe.mm.bench.stock_runner import stock_runner
from fpnprobe.mm.bench.timing import turns
from fpnprobe.mm.bench.training_parts import PartClock, PartsHook
from fpnprobe.mm.training.building import build_runner
from fpnprobe.mm.training.saved.keeper import Keeper
from fpnprobe.mm.training.task import Training

_SAMPLES = 4  # of a round that measures the probe


class _Clock(Hook):
    """Reads wall time and CPU time (children too, once they end) after warm-up and at the end."""

    def __init__(self, warmup: int) -> None:
        self.warmup, self.begin, self.end = warmup, 0.0, 0.0
        self.cpu_begin = self.cpu_end = 0.0

    def after_train_iter(self, runner: Any, batch_idx: int, *_: Any, **__: Any) -> None:
        """Note the times."""
        if torch.cuda.is_available() and next(runner.model.parameters()).is_cuda:
            torch.cuda.synchronize()
        self.end, self.cpu_end = time.perf_counter(), time.process_time()
        if batch_idx + 1 == self.warmup:
            self.begin, self.cpu_begin = self.end, self.cpu_end


def compare(task: Training, *, warmup: int, rounds: int) -> dict[str, Any]:
    """Train by our settings and by mmdet's stock settings by turns; medians over the rounds.

    `wall` and `cpu` are seconds per iteration; `cpu` is that of the training process, so the stock
    runner's loader processes are left out of it; `loader_cpu` is theirs. `speedup` and
    `cpu_speedup` are stock over ours, the latter with the loaders' time. `parts` has the wall time
    of ours per iteration by `data`, `forward`, `backward`, `optimizer` and `other`; `shapes` what
    iterations with a batch of a new shape take, see `ShapesHook`.
    """
    count = task.iterations - warmup
    rows: dict[str, list[tuple[float, float, float]]] = {"ours": [], "stock": []}
    shapes = ShapesHook()
    runs: list[tuple[str, Callable[..., Runner]]] = [("ours", _ours), ("stock", stock_runner)]
    runs *= rounds
    for (name, make), _ in zip(runs, turns("bench training", len(runs)), strict=True):
        with (
            tempfile.TemporaryDirectory() as scratch,
            quiet.construction(),
            contextlib.redirect_stdout(io.StringIO()),  # pycocotools tells of its index
        ):
            before = _children()
            is_first = name == "ours" and not rows[name]
            clock = _run(make, task, scratch, warmup, *([shapes] if is_first else []))
            loaders = (_children() - before) / task.iterations
        wall, cpu = clock.end - clock.begin, clock.cpu_end - clock.cpu_begin
        rows[name].append((wall / count, cpu / count, loaders))
    result: dict[str, Any] = {}
    for name, values in rows.items():
        wall, cpu, loaders = (statistics.median(column) for column in zip(*values, strict=True))
        result[name] = {"wall": wall, "cpu": cpu, "loader_cpu": loaders}
    ours, stock = result["ours"], result["stock"]
    result["speedup"] = stock["wall"] / ours["wall"]
    result["cpu_speedup"] = (stock["cpu"] + stock["loader_cpu"]) / (
        ours["cpu"] + ours["loader_cpu"]
    )
    result["shapes"] = shapes.summary()
    result["parts"] = _measure_parts(task, warmup=warmup)
    return result


def _measure_parts(task: Training, *, warmup: int) -> dict[str, float]:
    """Seconds of each part of our loop per iteration, in one more round."""
    clock = PartClock(warmup)
    with tempfile.TemporaryDirectory() as scratch, quiet.construction():
        runner = _ours(task, scratch=scratch)
        runner.register_hook(PartsHook(clock), priority="LOWEST")
        runner.train()
    return clock.per_iteration


def with_probe(task: Training, probe: ProbeSpec) -> Training:
    """Return the task with another probe."""
    study = task.config.study.model_copy(update={"probe": probe})
    return replace(task, config=CellConfig(study=study))


def measure_probe(task: Training) -> float:
    """Seconds per iteration that the probe of a task takes, at the interval that it has.

    A round of at least a few samples tells what one takes.
    """
    probe = task.config.probe
    often = max(2, task.iterations // _SAMPLES)
    frequent = with_probe(task, probe.model_copy(update={"interval": often, "budget": None}))
    with tempfile.TemporaryDirectory() as scratch, quiet.construction():
        runner = _ours(replace(frequent, folder=Path(scratch)), scratch=scratch)
        runner.train()
    (hook,) = [hook for hook in runner.hooks if hasattr(hook, "summary")]
    summary = hook.summary()
    extra, step = summary["extra_s"] or 0.0, summary["step_s"] or 0.0
    if probe.budget is not None:
        return float(probe.budget * step)
    return float(extra / (probe.interval or INTERVALS[probe.mode or "routes"]))


def _run(
    make: Callable[..., Runner], task: Training, scratch: str, warmup: int, *hooks: Hook
) -> _Clock:
    runner, clock = make(task, scratch=scratch), _Clock(warmup)
    for hook in (clock, *hooks):
        runner.register_hook(hook, priority="LOWEST")
    runner.train()
    del runner
    return clock


def _ours(task: Training, *, scratch: str) -> Runner:
    runner = build_runner(task, scratch=scratch)
    runner.keeper = Keeper(
        Path(scratch), key=task.key, every=float("inf"), report=lambda *_: None, stop=lambda: False
    )
    runner.accumulate = task.config.schedule.accumulate
    return runner


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
