"""The steps that follow a cell's training: a list of named steps, each done once.

To add a step, write a function of a `CellWork` and put a `Step` into `STEPS`. It runs in the
cell's own process, is skipped where its outputs are there, and writes them atomically.
"""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from fpnprobe.study.runner.cell_work import CellWork


@dataclass(frozen=True, slots=True)
class Step:
    """A named step: what it leaves in the cell folder, and how it makes it.

    A step that only draws (`picture`) never fails its cell: what went wrong is noted in the
    manifest, under `holes`, and the report names it.
    """

    name: str
    outputs: Callable[[CellWork], tuple[str, ...]]
    run: Callable[[CellWork], None]
    picture: bool = False

    def is_done(self, work: CellWork) -> bool:
        """Tell whether all outputs are there."""
        return all((work.cell.folder / name).exists() for name in self.outputs(work))


def _write_detections(work: CellWork, name: str, weights: str = "final.pt") -> float:
    """Write them, and return the detector's images per second."""
    from fpnprobe.mm.training.predict import predict

    masks = "segm" in work.output.study.evaluation.iou_types
    file = work.cell.folder / name
    file.parent.mkdir(exist_ok=True)
    work.team.announce("predict", weights)
    return predict(
        work.model(weights),
        work.images(),
        file=file,
        report=lambda _: work.alive(),
        masks=masks,
        team=work.team,
    )


def _run_prediction(work: CellWork) -> None:
    began = time.monotonic()
    speed = _write_detections(work, "detections.json.gz")
    timings = work.manifest["timings"]
    timings["evaluate_s"] = round(time.monotonic() - began, 3)
    timings["images_per_second"] = None if math.isnan(speed) else round(speed, 2)


def _snapshot_iterations(work: CellWork) -> tuple[int, ...]:
    """The optimizer steps before the last whose weights `probe.snapshots` keeps."""
    from fpnprobe.mm.training.saved.weight_snapshots import kept_steps

    last = work.output.iterations
    return tuple(
        step for step in kept_steps(work.output.study.probe.snapshots, last) if step < last
    )


def _snapshot_file(iteration: int) -> str:
    return f"snapshots/detections-{iteration}.json.gz"


def _snapshot_files(work: CellWork) -> tuple[str, ...]:
    return tuple(_snapshot_file(iteration) for iteration in _snapshot_iterations(work))


def _predict_snapshots(work: CellWork) -> None:
    from fpnprobe.mm.training.saved.weight_snapshots import kept_name

    for iteration in _snapshot_iterations(work):
        if not (work.cell.folder / _snapshot_file(iteration)).exists():
            _write_detections(work, _snapshot_file(iteration), kept_name(iteration))


def _run_evaluation(work: CellWork) -> None:
    import io

    import pandas as pd

    from fpnprobe.evaluation import evaluate
    from fpnprobe.store import atomic

    study, folder = work.output.study, work.cell.folder
    files = {
        iteration: folder / _snapshot_file(iteration) for iteration in _snapshot_iterations(work)
    }
    files = {iteration: file for iteration, file in files.items() if file.exists()}
    files[work.output.iterations] = folder / "detections.json.gz"
    frames = [
        evaluate(
            work.output.source.val,
            file,
            iou_type=iou_type,
            buckets=study.scale_buckets(),
            engine=study.evaluation.engine,
        ).to_pandas(
            study=study.name,
            variant=work.cell.variant,
            seed=work.cell.seed,
            iteration=iteration,
        )
        for iteration, file in files.items()
        for iou_type in study.evaluation.iou_types
    ]
    buffer = io.BytesIO()
    pd.concat(frames, ignore_index=True).to_parquet(buffer, index=False)
    atomic.write_bytes(work.cell.folder / "evaluation.parquet", buffer.getvalue())


def _save_features(work: CellWork) -> None:
    from fpnprobe.mm.inspect import feature_maps

    work.alive()
    buckets = work.output.study.scale_buckets()
    feature_maps.save(work.model(), work.images(), work.cell.folder / "features", buckets=buckets)


def _offline_steps(work: CellWork) -> tuple[int, ...]:
    """The optimizer steps after which the weights are measured offline, the last one included."""
    if not work.output.study.probe.offline:
        return ()
    return (*_snapshot_iterations(work), work.output.iterations)


def _offline_folders(work: CellWork) -> tuple[str, ...]:
    return tuple(f"offline/iteration-{step}" for step in _offline_steps(work))


def _measure_offline(work: CellWork) -> None:
    from fpnprobe.mm.inspect.probe_images import probe_images
    from fpnprobe.mm.training.saved.weight_snapshots import kept_name
    from fpnprobe.probing.probe import Probe

    probe, last = work.output.study.probe, work.output.iterations
    for step in _offline_steps(work):
        folder = work.cell.folder / "offline" / f"iteration-{step}"
        if folder.is_dir():
            continue
        begun = folder.with_name("measuring")
        shutil.rmtree(begun, ignore_errors=True)
        probe_images(
            work.model() if step == last else work.model(kept_name(step)),
            work.images(with_loss=True),
            begun,
            count=probe.offline,
            probe=Probe("full" if probe.mode == "full" else "routes"),
            buckets=work.output.study.scale_buckets(),
            cell={"study": work.cell.study, "variant": work.cell.variant, "seed": work.cell.seed},
            each=work.alive,
        )
        begun.rename(folder)


STEPS = (
    Step("predict", lambda _: ("detections.json.gz",), _run_prediction),
    Step("snapshots", _snapshot_files, _predict_snapshots),
    Step("evaluate", lambda _: ("evaluation.parquet",), _run_evaluation),
    Step("features", lambda _: ("features/index.json",), _save_features, picture=True),
    Step("offline", _offline_folders, _measure_offline),
)
