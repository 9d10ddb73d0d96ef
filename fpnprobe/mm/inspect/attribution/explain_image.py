"""One question about one image of a trained cell."""

from dataclasses import replace
from typing import Any

from fpnprobe.attribution.words import Kind
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.explain import explain, targets_of
from fpnprobe.mm.inspect.attribution.result import Attribution
from fpnprobe.mm.inspect.trained_cell import TrainedCell


def ask(
    cell: TrainedCell,
    image_id: int | None = None,
    *,
    detection: int | None = None,
    object: int | None = None,
    bucket: str | None = None,
    **options: Any,
) -> Attribution:
    """Attribute one detection, object or bucket of an image, or each of its objects.

    Args:
        cell: A trained cell.
        image_id: Of the annotation file; the first validation image by default.
        detection: Number of a detection, 0 is the most confident.
        object: Number of an object.
        bucket: Name of a bucket.
        options: `method`, `at`, `steps`, `internal_batch_size`; see `explain`.

    Raises:
        FpnProbeError: For two kinds at once, or a target that the image does not have.
    """
    target_options = {"detection": detection, "object": object, "bucket": bucket}
    kinds: list[Kind] = [kind for kind in _KINDS if target_options[kind] is not None]
    if len(kinds) > 1:
        raise FpnProbeError(
            f"{' and '.join(kinds)} were given: expected one of them, or none for all objects"
        )
    image = cell.at(0) if image_id is None else cell.image(image_id)
    targets = targets_of(
        cell.chain,
        image,
        kind=kinds[0] if kinds else "object",
        index=detection if object is None else object,
        bucket=bucket,
        buckets=cell.buckets,
    )
    attribution = explain(
        cell.chain, image, targets=targets, buckets=cell.buckets, labels=cell.labels, **options
    )
    return replace(
        attribution, picture=cell.picture(attribution.image_id), classes=tuple(cell.stored.classes)
    )


_KINDS: tuple[Kind, ...] = ("detection", "object", "bucket")
