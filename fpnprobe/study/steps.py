"""What is done with a cell after its training: a list of named steps, each done once.

To add a step, write a function of a `CellWork` and put a `Step` into `STEPS`. It runs in the
cell's own process, is skipped where its outputs are there, and writes them atomically.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fpnprobe.study.cells import Cell
from fpnprobe.study.failures import Interrupted
from fpnprobe.study.output import Output
from fpnprobe.study.progress import ProgressWriter


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
    """

    output: Output
    cell: Cell
    device: str
    manifest: dict[str, Any]
    progress: ProgressWriter
    stop: Callable[[], bool]
    _model: Any = None

    def alive(self) -> None:
        """Called often inside a step: show that it goes on, and stop here if asked to."""
        if self.stop():
            raise Interrupted
        self.progress(iteration=self.output.iterations)

    def model(self) -> Any:
        """The trained model, on the device, ready to predict."""
        if self._model is None:
            from fpnprobe.mm.training.final import load_final

            self._model = load_final(
                self.cell.folder / "checkpoints",
                self.manifest["config"],
                classes=len(self.output.source.classes),
                device=self.device,
            )
        return self._model


@dataclass(frozen=True, slots=True)
class Step:
    """A named step: which files of the cell folder it leaves, and how it makes them."""

    name: str
    outputs: tuple[str, ...]
    run: Callable[[CellWork], None]

    def is_done(self, work: CellWork) -> bool:
        """Whether all outputs are there."""
        return all((work.cell.folder / name).exists() for name in self.outputs)


def _predict(work: CellWork) -> None:
    from fpnprobe.mm.training.dataset import CellImages
    from fpnprobe.mm.training.predict import predict

    study, source = work.output.study, work.output.source
    began = time.monotonic()
    masks = study.evaluation.iou_type == "segm"
    images = CellImages(
        source.root,
        source.val,
        classes=source.classes,
        size=study.data.size,
        seed=None,
        cache=study.data.cache,
    )
    file = work.cell.folder / "detections.json.gz"
    predict(work.model(), images, file=file, report=lambda _: work.alive(), masks=masks)
    work.manifest["timings"]["evaluate_s"] = round(time.monotonic() - began, 3)


def _evaluate(work: CellWork) -> None:
    import io

    from fpnprobe import atomic
    from fpnprobe.evaluation import evaluate

    study = work.output.study
    found = evaluate(
        work.output.source.val,
        work.cell.folder / "detections.json.gz",
        iou_type=study.evaluation.iou_type,
        buckets=study.scale_buckets(),
        engine=study.evaluation.engine,
    )
    frame = found.to_pandas(
        study=study.name,
        variant=work.cell.variant,
        seed=work.cell.seed,
        iteration=work.output.iterations,
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    atomic.write_bytes(work.cell.folder / "evaluation.parquet", buffer.getvalue())


def _features(work: CellWork) -> None:
    from fpnprobe.mm import features
    from fpnprobe.mm.training.dataset import CellImages

    study, source = work.output.study, work.output.source
    images = CellImages(
        source.root,
        source.val,
        classes=source.classes,
        size=study.data.size,
        seed=None,
        cache=study.data.cache,
    )
    work.alive()
    features.save(
        work.model(), images, work.cell.folder / "features", buckets=study.scale_buckets()
    )


STEPS = (
    Step("predict", ("detections.json.gz",), _predict),
    Step("evaluate", ("evaluation.parquet",), _evaluate),
    Step("features", ("features/index.json",), _features),
)
