"""A trained cell opened again: its detector, its validation images, its buckets."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fpnprobe.attribution.chain import Chain
from fpnprobe.config.cell_config import CellConfig
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.segments import build_chain
from fpnprobe.mm.inspect.trained_run import open_run_images, open_trained_run
from fpnprobe.mm.training.images.cell_images import open_images
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.saved.trained_model import load_final
from fpnprobe.scales import ScaleBucket
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.runs import is_run
from fpnprobe.store.study import read_cell
from fpnprobe.store.trust import check_names_no_code


@dataclass(frozen=True)
class TrainedCell:
    """A cell's trained detector and the images it was evaluated on.

    Attributes:
        stored: The cell as it lies on disk.
        detector: In evaluation mode, with the final weights.
        images: Validation images, in order and unchanged.
    """

    stored: StoredCell
    detector: Any
    images: CellImages

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "cpu", trust: bool = False) -> "TrainedCell":
        """Load a cell.

        Args:
            folder: Its folder.
            device: "cpu" or "cuda".
            trust: Whether modules and config files that its manifest names are executed.

        Raises:
            FpnProbeError: If the folder is no cell, or the cell is stale or damaged, or has no
                final weights (it is not finished, or its checkpoints were removed), or its data
                are gone.
        """
        stored = read_cell(folder)
        if is_run(stored.folder):
            return cls(stored, *open_trained_run(stored, device=device))
        if not stored.belongs_to_study:
            raise FpnProbeError(
                f"{stored.title} is {stored.state} ({stored.reason}): let run-study make it anew, "
                "or copy its folder out of the study to look at it by itself"
            )
        if not trust:
            check_names_no_code(stored.config, source=stored.folder / MANIFEST)
        weights = stored.checkpoints / "final.pt"
        if not weights.is_file():
            raise FpnProbeError(
                f"{stored.title} has no checkpoint (state {stored.state}, expected {weights}): let "
                "run-study finish the cell, with resources.keep_checkpoint on"
            )
        if not stored.annotations.is_file():
            raise FpnProbeError(
                f"the images of {stored.title} are gone: no {stored.annotations}; run the study's "
                "data again"
            )
        images = open_stored_images(stored, with_loss=False)
        detector = load_final(
            stored.checkpoints, read_config(stored), classes=len(stored.classes), device=device
        )
        return cls(stored, detector, images)

    def images_for_loss(self) -> CellImages:
        """Open the same images with what the training loss needs: masks where the detector has."""
        if is_run(self.stored.folder):
            return open_run_images(self.stored, masks=getattr(self.detector, "with_mask", False))
        return open_stored_images(self.stored, with_loss=True)

    @property
    def labels(self) -> dict[str, Any]:
        """Study, variant and seed."""
        study = str(self.stored.manifest.get("study") or "")
        return {"study": study, "variant": self.stored.variant, "seed": self.stored.seed}

    @property
    def buckets(self) -> tuple[ScaleBucket, ...]:
        """The study's scale buckets."""
        return self.stored.buckets

    @functools.cached_property
    def chain(self) -> Chain:
        """The detector, cut into segments."""
        return build_chain(self.detector, self.at(0).pixels)

    @functools.cached_property
    def ids(self) -> tuple[int, ...]:
        """Ids of the images, in order."""
        return tuple(self.images.image_ids.tolist())

    def at(self, position: int) -> DetectorImage:
        """The image at a position."""
        if not 0 <= position < len(self.images):
            raise FpnProbeError(
                f"image number {position} does not exist: expected 0 to {len(self.images) - 1}"
            )
        with torch.no_grad():
            return DetectorImage.of(self.detector, self.images[position])

    def picture(self, image_id: int) -> npt.NDArray[np.uint8]:
        """The image as `(H, W, 3)`, RGB, in the detector's pixels, without padding."""
        pixels = self.images[self._position(image_id)]["inputs"]  # (3, H, W), BGR
        return np.ascontiguousarray(pixels.numpy().transpose(1, 2, 0)[:, :, ::-1])

    def image(self, image_id: int) -> DetectorImage:
        """The image with an id of the annotation file."""
        return self.at(self._position(image_id))

    def _position(self, image_id: int) -> int:
        if image_id not in self.ids:
            raise FpnProbeError(
                f"image {image_id} is not among the {len(self.ids)} validation images: expected an "
                f"id such as {', '.join(map(str, self.ids[:3]))}"
            )
        return self.ids.index(image_id)


def read_config(stored: StoredCell) -> CellConfig:
    """Read the settings of a cell on disk.

    Raises:
        FpnProbeError: If its manifest does not hold them.
    """
    return CellConfig.read(stored.config, source=str(stored.folder / MANIFEST))


def open_stored_images(stored: StoredCell, *, with_loss: bool) -> CellImages:
    """Open the validation images of a cell on disk; see `fpnprobe.mm.training.images.cell_images`.

    Raises:
        FpnProbeError: If its manifest does not say how the images were taken.
    """
    return open_images(
        read_config(stored),
        root=stored.data_root,
        annotations=stored.annotations,
        classes=stored.classes,
        with_loss=with_loss,
    )
