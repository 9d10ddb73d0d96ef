"""The detector and validation images of a training that no study started."""

from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import without_downloads
from fpnprobe.mm.inspect.weights import load_weights, read_weights
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.store.cell import StoredCell


def open_trained_run(stored: StoredCell, *, device: str) -> tuple[Any, CellImages]:
    """Build the detector that a run file describes, with the last checkpoint of its folder.

    Nothing in the folder is executed: the model is built from data, with classes that are
    registered, and the weights are read as tensors alone.

    Raises:
        FpnProbeError: If the run kept no model, checkpoint or validation images.
    """
    model = stored.config.get("model")
    if not isinstance(model, dict):
        raise FpnProbeError(
            f"{stored.folder} does not say how its model is built: only trainings from an mmengine "
            "config under the hook do"
        )
    data = stored.manifest.get("data") or {}
    if not stored.manifest.get("annotations") or not isinstance(data.get("folder"), str):
        raise FpnProbeError(
            f"{stored.folder} had no validation with COCO annotations, so it has no images to look "
            "at: train with a val_evaluator"
        )
    if not stored.annotations.is_file():
        raise FpnProbeError(f"the images of {stored.title} are gone: no {stored.annotations}")
    weights = _last_checkpoint(stored.folder)
    config = ConfigDict(model)
    without_downloads(config)
    try:
        detector = build_detector(config)
    except (KeyError, TypeError, AttributeError, ImportError) as error:
        line = " ".join(str(error).split())[:200]
        raise FpnProbeError(
            f"the model of {stored.folder} cannot be built ({type(error).__name__}: {line}): "
            "import the module that registers its classes first"
        ) from error
    state, _ = read_weights(weights)
    load_weights(detector, state, weights)
    detector.to(device).eval()
    return detector, open_run_images(stored)


def open_run_images(stored: StoredCell, *, masks: bool = False) -> CellImages:
    """Open the validation images of a run, at the size of its validation.

    Args:
        stored: The run.
        masks: Whether the objects' masks are needed, for a training loss.
    """
    data = stored.manifest["data"]
    size = data.get("size")
    return CellImages(
        data["folder"],
        stored.annotations,
        classes=stored.classes,
        size=tuple(size) if isinstance(size, list) else size,
        seed=None,
        cache=False,
        masks=masks,
    )


def _last_checkpoint(folder: Path) -> Path:
    """The checkpoint that mmengine names as the last one, by its name in this folder."""
    try:
        file_name = Path((folder / "last_checkpoint").read_text(encoding="utf-8").strip()).name
    except OSError:
        file_name = ""
    checkpoint = folder / file_name if file_name else None
    if checkpoint is None or not checkpoint.is_file():
        raise FpnProbeError(
            f"{folder} has no checkpoint: let the training save one (default_hooks.checkpoint)"
        )
    return checkpoint
