"""What is done with a cell after its training: a list of named steps, each done once.

To add a step, write a function of a `CellWork` and put a `Step` into `STEPS`. It runs in the
cell's own process, is skipped where its outputs are there, and writes them atomically.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.progress import ProgressWriter
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.failures import Interrupted

if TYPE_CHECKING:
    from fpnprobe.mm.training.dataset import CellImages
    from fpnprobe.mm.training.team import Team


@dataclass(slots=True)
class CellWork:
    """A cell in the hands of the process that runs it.

    Attributes:
        output: the study, its data and its folder.
        cell: the cell.
        device: "cpu" or "cuda".
        manifest: content of the manifest, written after each step.
        progress: tells where the cell is.
        stop: whether the process was asked to stop.
        team: the processes that work on the cell together.
    """

    output: Output
    cell: Cell
    device: str
    manifest: dict[str, Any]
    progress: ProgressWriter
    stop: Callable[[], bool]
    team: "Team"
    _models: dict[str, Any] = field(default_factory=dict)
    _images: dict[bool, "CellImages"] = field(default_factory=dict)

    def alive(self) -> None:
        """Called often inside a step: show that it goes on, and stop here if asked to."""
        if self.stop():
            raise Interrupted
        self.progress(iteration=self.output.iterations)

    @property
    def config(self) -> CellConfig:
        """The settings of the cell, as its manifest has them."""
        return CellConfig.read(self.manifest["config"])

    def model(self, file: str = "final.pt") -> Any:
        """The model with the weights of a checkpoint, on the device, ready to predict."""
        if file not in self._models:
            from fpnprobe.mm.training.trained_model import load_final

            self._models[file] = load_final(
                self.cell.folder / "checkpoints",
                self.config,
                classes=len(self.output.source.classes),
                device=self.device,
                file=file,
            )
        return self._models[file]

    def images(self, *, with_loss: bool = False) -> "CellImages":
        """Open the validation images, in order and unchanged; see `open_images`."""
        from fpnprobe.mm.training.cell_images import open_images

        if with_loss not in self._images:
            source = self.output.source
            self._images[with_loss] = open_images(
                self.config,
                root=source.root,
                annotations=source.val,
                classes=source.classes,
                with_loss=with_loss,
            )
        return self._images[with_loss]


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
        """Whether all outputs are there."""
        return all((work.cell.folder / name).exists() for name in self.outputs(work))


def _predict(work: CellWork) -> None:
    from fpnprobe.mm.training.predict import predict

    began = time.monotonic()
    masks = "segm" in work.output.study.evaluation.iou_types
    file = work.cell.folder / "detections.json.gz"
    work.team.announce("predict")
    predict(
        work.model(),
        work.images(),
        file=file,
        report=lambda _: work.alive(),
        masks=masks,
        team=work.team,
    )
    work.manifest["timings"]["evaluate_s"] = round(time.monotonic() - began, 3)


def _evaluate(work: CellWork) -> None:
    import io

    import pandas as pd

    from fpnprobe.evaluation import evaluate
    from fpnprobe.store import atomic

    study = work.output.study
    frames = [
        evaluate(
            work.output.source.val,
            work.cell.folder / "detections.json.gz",
            iou_type=iou_type,
            buckets=study.scale_buckets(),
            engine=study.evaluation.engine,
        ).to_pandas(
            study=study.name,
            variant=work.cell.variant,
            seed=work.cell.seed,
            iteration=work.output.iterations,
        )
        for iou_type in study.evaluation.iou_types
    ]
    buffer = io.BytesIO()
    pd.concat(frames, ignore_index=True).to_parquet(buffer, index=False)
    atomic.write_bytes(work.cell.folder / "evaluation.parquet", buffer.getvalue())


def _features(work: CellWork) -> None:
    from fpnprobe.mm.inspect import feature_maps

    work.alive()
    buckets = work.output.study.scale_buckets()
    feature_maps.save(work.model(), work.images(), work.cell.folder / "features", buckets=buckets)


def _offline_steps(work: CellWork) -> tuple[int, ...]:
    """The optimizer steps after which the weights are measured offline, the last one included."""
    from fpnprobe.mm.training.weight_snapshots import kept_steps

    if not work.output.study.probe.offline:
        return ()
    last = work.output.iterations
    return (*kept_steps(work.output.study.probe.snapshots, last), last)


def _offline_folders(work: CellWork) -> tuple[str, ...]:
    return tuple(f"offline/iteration-{step}" for step in _offline_steps(work))


def _offline(work: CellWork) -> None:
    from fpnprobe.mm.inspect.offline import probe_images
    from fpnprobe.mm.training.weight_snapshots import kept_name
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
    Step("predict", lambda _: ("detections.json.gz",), _predict),
    Step("evaluate", lambda _: ("evaluation.parquet",), _evaluate),
    Step("features", lambda _: ("features/index.json",), _features, picture=True),
    Step("offline", _offline_folders, _offline),
)
