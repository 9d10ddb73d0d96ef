"""Times the evaluation against pycocotools, and the bootstrap against its slow twin."""

import json
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

from fpnprobe.errors import ClaimFailed, FpnProbeError
from fpnprobe.evaluation import Detections, Evaluation, GroundTruth, compare, evaluate
from fpnprobe.evaluation.bootstrap.reference import copied
from fpnprobe.evaluation.generated import generate
from fpnprobe.evaluation.resampling import Resampled, resample
from fpnprobe.statistics import resample_counts

SAME = 1e-12

T = TypeVar("T")


def run(
    *,
    images: int = 5000,
    detections: int = 250_000,
    resamples: int = 1000,
    slow: int = 20,
    repeats: int = 3,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Time both engines and the paired bootstrap on one generated set, in this process.

    Rows have `engine, images, detections, seconds, ratio_to_pycocotools` (seconds of pycocotools
    over seconds of this row; the best of `repeats` for hotcoco, one run of pycocotools, from
    columns in memory to the twelve numbers). The bootstrap's row (`AP, AP_S, AP_M, AP_L` of two
    runs) has `resamples` too, and compares with calling an engine for every resample of both runs,
    extrapolated from `slow` resamples that were computed that way: `ratio_to_engine` with hotcoco,
    `ratio_to_pycocotools` with its single run above.

    Raises:
        ClaimFailed: If the engines, or the bootstrap and its slow twin, differ by more than 1e-12.
    """
    if min(images, detections, resamples, slow, repeats) < 1:
        raise FpnProbeError("images, detections, resamples, slow and repeats must be at least 1")
    truth, first = generate(images=images, detections=detections / images, skill=0.8, seed=seed)
    _, second = generate(images=images, detections=detections / images, skill=0.85, seed=seed)
    fast, fast_s = _timed(lambda: evaluate(truth, first), repeats)
    oracle, oracle_s = _timed(lambda: evaluate(truth, first, engine="pycocotools"), 1)
    _must_agree(_values(fast), _values(oracle), "hotcoco and pycocotools")
    counts = resample_counts(images, resamples=resamples, seed=seed)
    pair, pair_s = _timed(
        lambda: [
            resample(truth, detections_of_run, counts=counts, curve=False)
            for detections_of_run in (first, second)
        ],
        1,
    )
    slow = min(slow, resamples)
    slow_s = _slow_way(truth, (first, second), counts[:slow], pair)
    _, every_s = _timed(lambda: compare(truth, first, second, resamples=resamples), 1)
    shared = {"images": images, "detections": len(first)}
    return [
        {"engine": "pycocotools", **shared, "seconds": oracle_s, "ratio_to_pycocotools": 1.0},
        {
            "engine": "hotcoco",
            **shared,
            "seconds": fast_s,
            "ratio_to_pycocotools": oracle_s / fast_s,
        },
        {
            "engine": "paired bootstrap",
            **shared,
            "seconds": pair_s,
            "ratio_to_pycocotools": 2 * resamples * oracle_s / pair_s,
            "ratio_to_engine": slow_s / slow * resamples / pair_s,
            "resamples": resamples,
            "checked": slow,
        },
        {
            "engine": "paired bootstrap with size curve",
            **shared,
            "seconds": every_s,
            "ratio_to_pycocotools": 2 * resamples * oracle_s / every_s,
            "resamples": resamples,
        },
    ]


def add(app: typer.Typer) -> None:
    """Register `fpnprobe bench evaluation`."""

    @app.command("evaluation")
    def evaluation(
        images: Annotated[int, typer.Option(help="Images of the generated set.")] = 5000,
        detections: Annotated[int, typer.Option(help="Detections on all of them.")] = 250_000,
        resamples: Annotated[int, typer.Option(help="Bootstrap resamples.")] = 1000,
        slow: Annotated[int, typer.Option(help="Resamples computed the slow way too.")] = 20,
        as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    ) -> None:
        """Time the evaluation and its bootstrap against pycocotools, and check that they agree."""
        rows = run(images=images, detections=detections, resamples=resamples, slow=slow)
        if as_json:
            typer.echo(json.dumps(rows))
            return
        for row in rows:
            typer.echo(
                f"{row['engine']:<34}{row['seconds']:9.2f} s"
                f"{row['ratio_to_pycocotools']:9.0f} x pycocotools"
            )


def _timed(work: Callable[[], T], repeats: int) -> tuple[T, float]:
    """The result and the shortest of the wall times, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def _values(evaluation: Evaluation) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(list(evaluation.metrics.values()), dtype=np.float64)


def _slow_way(
    truth: GroundTruth,
    runs: tuple[Detections, ...],
    counts: np.ndarray[Any, Any],
    fast: list[Resampled],
) -> float:
    """Evaluate each resample of each run as a data set of copies; check the fast way; seconds."""
    names = ("AP", "AP_S", "AP_M", "AP_L")
    seconds = 0.0
    for detections, quick in zip(runs, fast, strict=True):
        rows = [quick.names.index(name) for name in names]
        for r, row in enumerate(counts):
            start = time.perf_counter()
            again = evaluate(*copied(truth, detections, np.asarray(row)))
            seconds += time.perf_counter() - start
            expected = np.array([again.metrics[name] for name in names])
            _must_agree(quick.samples[rows, r], expected, "the bootstrap and its slow twin")
    return seconds


def _must_agree(ours: Any, theirs: Any, who: str) -> None:
    worst = float(np.nanmax(np.abs(ours - theirs), initial=0.0))
    if worst > SAME or (np.isnan(ours) != np.isnan(theirs)).any():
        raise ClaimFailed(f"{who} differ by {worst:.2g}, expected at most {SAME:g}: report this")
