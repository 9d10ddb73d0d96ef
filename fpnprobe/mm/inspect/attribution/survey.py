"""A whole data set attributed: one table per cell, and the same over the cells of a study."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import pandas as pd

from fpnprobe.attribution.methods import INTERNAL_BATCH, STEPS
from fpnprobe.attribution.table import concat
from fpnprobe.attribution.words import Kind, Place
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.explain import explain, targets_of
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.trained_cell import TrainedCell


def survey(
    cell: TrainedCell,
    *,
    images: int,
    methods: Sequence[str] = ("integrated_gradients",),
    places: Sequence[Place] | None = None,
    kind: Kind = "object",
    steps: int = STEPS,
    internal_batch_size: int = INTERNAL_BATCH,
    report: Callable[[int], None] = lambda _: None,
) -> pd.DataFrame:
    """Attribute the targets of the first validation images of a cell that hold an object.

    Args:
        cell: A trained cell.
        images: How many; the same images for every cell of a study, since the annotations choose.
        methods: Keys of `fpnprobe.attribution.methods.METHODS`.
        places: `stages`, `pyramid`; by default all that the detector has.
        kind: Objects, detections or buckets.
        steps: Of path methods.
        internal_batch_size: Most examples in memory at once.
        report: Called with the number of images done.

    Returns:
        Rows as in `fpnprobe.attribution.table.COLUMNS`.

    Raises:
        FpnProbeError: If no image has a target, or a place is not in the detector.
    """
    if images < 1:
        raise FpnProbeError(f"images={images}: expected at least 1")
    chain = cell.chain
    chain_places = tuple(places) if places is not None else chain.places()
    for place in chain_places:
        chain.levels(place)
    frames = []
    done = 0
    for done, image in enumerate(islice(_images_with_objects(cell), images), 1):
        attributions = (
            image.detections(chain)
            if kind == "detection"
            else targets_of(chain, image, kind=kind, buckets=cell.buckets)
        )
        if attributions:
            frames += [
                explain(
                    chain,
                    image,
                    targets=attributions,
                    method=method,
                    at=place,
                    steps=steps,
                    internal_batch_size=internal_batch_size,
                    buckets=cell.buckets,
                    labels=cell.labels,
                ).to_pandas()
                for method in methods
                for place in chain_places
            ]
        report(done)
    if not frames:
        raise FpnProbeError(
            f"the first {done} images with objects have no {kind} to attribute: take more images"
            + (", or lower the detector's score_thr" if kind == "detection" else "")
        )
    return concat(frames)


def _images_with_objects(cell: TrainedCell) -> Iterator[DetectorImage]:
    for position in range(len(cell.images)):
        image = cell.at(position)
        if len(image.boxes):
            yield image
