"""A trained cell opened again: its detector, its validation images, its buckets."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fpnprobe import places
from fpnprobe.attribution.chain import Chain
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.attribution.image import DetectorImage
from fpnprobe.mm.attribution.segments import build_chain
from fpnprobe.mm.training.dataset import CellImages
from fpnprobe.mm.training.final import load_final
from fpnprobe.scales import ScaleBucket, stored_buckets


@dataclass(frozen=True)
class TrainedCell:
    """A cell's trained detector and the images it was evaluated on.

    Attributes:
        folder: the cell's folder.
        manifest: content of its manifest.
        detector: in evaluation mode, with the final weights.
        images: validation images, in order and unchanged.
    """

    folder: Path
    manifest: Mapping[str, Any]
    detector: Any
    images: CellImages

    @classmethod
    def open(cls, folder: str | Path, *, device: str = "cpu") -> "TrainedCell":
        """Load a cell.

        Raises:
            FpnProbeError: if the folder is no cell, or the cell has no final weights (it is not
                finished, or its checkpoints were removed), or its data are gone.
        """
        where = Path(folder)
        manifest = read_manifest(where)
        title = f"{manifest.get('variant')} seed {manifest.get('seed')}"
        if not (where / "checkpoints" / "final.pt").is_file():
            raise FpnProbeError(
                f"{title} has no checkpoint (state {manifest.get('state')!r}, expected "
                f"{where / 'checkpoints' / 'final.pt'}): let run-study finish the cell, with "
                "resources.keep_checkpoint on"
            )
        config, classes = manifest["config"], tuple(manifest["classes"])
        study = where.absolute().parents[2]
        root = places.found(manifest["data"]["root"], study=study)
        annotations = places.found(manifest["annotations"], study=study)
        if not annotations.is_file():
            raise FpnProbeError(
                f"the images of {title} are gone: no {annotations}; run the study's data again"
            )
        size = config["data"]["size"]
        images = CellImages(
            root,
            annotations,
            classes=classes,
            size=tuple(size) if isinstance(size, list) else size,
            seed=None,
            cache=config["data"].get("cache", False),
        )
        detector = load_final(where / "checkpoints", config, classes=len(classes), device=device)
        return cls(where, manifest, detector, images)

    @property
    def labels(self) -> dict[str, Any]:
        """Study, variant and seed."""
        return {key: self.manifest[key] for key in ("study", "variant", "seed")}

    @property
    def buckets(self) -> tuple[ScaleBucket, ...]:
        """The study's scale buckets."""
        return stored_buckets(self.manifest["config"].get("buckets") or ())

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


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a cell.

    Raises:
        FpnProbeError: if there is none.
    """
    try:
        content = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise FpnProbeError(
            f"{folder} is not a cell of a study: expected manifest.json in it, such as "
            "reports/quickstart/cells/fpn/seed-0"
        )
    return content
