"""Targets of one image, attributed: maps and table rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from fpnprobe.attribution.chain import Chain
from fpnprobe.attribution.methods import INTERNAL_BATCH, STEPS, attribute
from fpnprobe.attribution.words import Kind, Place
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.result import Attribution
from fpnprobe.mm.inspect.attribution.target import Target, pick, reading
from fpnprobe.scales import BACKGROUND, COCO_BUCKETS, ScaleBucket, bucket_index

if TYPE_CHECKING:
    pass


def targets_of(
    chain: Chain,
    image: DetectorImage,
    *,
    kind: Kind = "object",
    index: int | None = None,
    bucket: str | None = None,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
) -> list[Target]:
    """Choose what is attributed: all detections, objects or buckets of an image, or one of them.

    Args:
        chain: Of the detector.
        image: The image.
        kind: What becomes a number.
        index: One detection (0 is the most confident) or one object.
        bucket: One bucket.
        buckets: The scale buckets.

    Raises:
        FpnProbeError: If there is no such thing in this image.
    """
    image_name = f"image {image.image_id}"
    if kind == "detection":
        detections = image.detections(chain)
        if not detections or index is not None:
            return [pick(detections, index or 0, image=image_name)]
        return detections
    objects = image.objects(chain)
    if kind == "object":
        if index is None:
            return objects
        if not 0 <= index < len(image.boxes):
            raise FpnProbeError(
                f"object {index} of {image_name} does not exist: expected 0 to "
                f"{len(image.boxes) - 1}"
                if len(image.boxes)
                else f"{image_name} has no objects: attribute another image"
            )
        matching = [target for target in objects if target.index == index]
        if not matching:
            raise FpnProbeError(
                f"object {index} of {image_name} is assigned to no prior, so it has no class "
                "logit: attribute a detection instead"
            )
        return matching
    names = [scale_bucket.name for scale_bucket in buckets]
    if bucket is not None and bucket not in names:
        raise FpnProbeError(f"unknown bucket {bucket!r}: expected one of {', '.join(names)}")
    groups = {
        name: [t for t in objects if _name_bucket(image.area_of(t), buckets) == name]
        for name in names
        if bucket in (None, name)
    }
    if bucket is not None and not groups[bucket]:
        raise FpnProbeError(f"{image_name} has no {bucket} objects: attribute another image")
    return [Target.together(group, bucket=name) for name, group in groups.items() if group]


def explain(
    chain: Chain,
    image: DetectorImage,
    *,
    targets: Sequence[Target],
    method: str = "integrated_gradients",
    at: Place = "pyramid",
    steps: int = STEPS,
    internal_batch_size: int = INTERNAL_BATCH,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
    labels: dict[str, Any] | None = None,
) -> Attribution:
    """Attribute targets of one image; see `fpnprobe.attribution.methods.attribute`."""
    with reading(chain, targets):
        maps = attribute(
            chain,
            image=image.pixels,
            ids=torch.arange(len(targets), device=image.pixels.device),
            method=method,
            at=at,
            steps=steps,
            internal_batch_size=internal_batch_size,
        )
    return Attribution(
        image_id=image.image_id,
        targets=tuple(targets),
        buckets=tuple(_bucket_of(image, target, buckets) for target in targets),
        maps=maps,
        place=at,
        labels=labels or {},
    )


def _name_bucket(area: float | None, buckets: Sequence[ScaleBucket]) -> str:
    return BACKGROUND if area is None else buckets[int(bucket_index([area], buckets)[0])].name


def _bucket_of(image: DetectorImage, target: Target, buckets: Sequence[ScaleBucket]) -> str:
    if target.kind != "bucket":
        return _name_bucket(image.area_of(target), buckets)
    return target.bucket
