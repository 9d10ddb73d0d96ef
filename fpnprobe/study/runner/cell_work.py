"""A cell in the hands of the process that runs it, with its model and images on demand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.progress import ProgressWriter
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.failures import Interrupted

if TYPE_CHECKING:
    from fpnprobe.mm.training.images.dataset import CellImages
    from fpnprobe.mm.training.team import Team


@dataclass(slots=True)
class CellWork:
    """A cell in the hands of the process that runs it.

    Attributes:
        output: The study, its data and its folder.
        cell: The cell.
        device: "cpu" or "cuda".
        manifest: Content of the manifest, written after each step.
        progress: Tells where the cell is.
        stop: Whether the process was asked to stop.
        team: The processes that work on the cell together.
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
            from fpnprobe.mm.training.saved.trained_model import load_final

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
        from fpnprobe.mm.training.images.cell_images import open_images

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
