"""The one way from the configuration of a cell to its images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpnprobe.mm.training.dataset import CellImages
from fpnprobe.mm.training.model import has_masks, model_config


def open_images(
    config: Mapping[str, Any],
    *,
    root: str | Path,
    annotations: str | Path,
    classes: tuple[str, ...],
    with_loss: bool,
    seed: int | None = None,
    batch: int = 1,
) -> CellImages:
    """Open the images of a split as the detector of a cell takes them.

    Args:
        config: resolved configuration of the cell: a study of one variant, as in its manifest.
        root: data folder.
        annotations: annotation file.
        classes: names of the classes, in the order of the labels.
        with_loss: whether the training loss is computed on them; a detector with masks then needs
            the masks of the objects, which its predictions and feature maps do not.
        seed: None gives the images in their order and unchanged.
        batch: see `CellImages`.
    """
    data = config["data"]
    size = data["size"]
    return CellImages(
        root,
        annotations,
        classes=classes,
        size=tuple(size) if isinstance(size, list) else size,
        seed=seed,
        flip=data.get("flip", 0.0),
        batch=batch,
        cache=data.get("cache", False),
        masks=with_loss and has_masks(model_config(config, classes=len(classes))),
        outline=data.get("scenes") is not None,
    )
