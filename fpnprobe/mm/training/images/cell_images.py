"""The one way from the configuration of a cell to its images."""

from pathlib import Path

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.model import has_masks, model_config


def open_images(
    config: CellConfig,
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
        config: The settings of the cell.
        root: Data folder.
        annotations: Annotation file.
        classes: Names of the classes, in the order of the labels.
        with_loss: Whether the training loss is computed on them; a detector with masks then needs
            the masks of the objects, which its predictions and feature maps do not.
        seed: None gives the images in their order and unchanged.
        batch: See `CellImages`.
    """
    return CellImages(
        root,
        annotations,
        classes=classes,
        size=config.data.known_size,
        short_sides=None if seed is None else config.data.short_sides,
        seed=seed,
        flip=config.data.flip,
        batch=batch,
        cache=config.data.cache,
        masks=with_loss and has_masks(model_config(config, classes=len(classes))),
        outline=config.data.scenes is not None,
    )
