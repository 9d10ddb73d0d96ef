"""One image, ready for a detector, with its objects in the detector's pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from fpnprobe.attribution.chain import Chain
from fpnprobe.mm.inspect.attribution.target import Target


@dataclass(frozen=True, slots=True)
class DetectorImage:
    """One image as a detector gets it, with its objects.

    Attributes:
        image_id: Id in the annotation file.
        pixels: `(1, 3, H, W)`, normalized and padded by the detector's preprocessor.
        meta: The metainfo of mmdet.
        boxes: Objects `(K, 4)` in input pixels, crowds left out.
        labels: Their classes `(K,)`.
        areas: Their annotated areas `(K,)` in px^2 of the original image.
    """

    image_id: int
    pixels: Tensor
    meta: Mapping[str, Any]
    boxes: Tensor
    labels: Tensor
    areas: Tensor

    @classmethod
    def of(cls, detector: Any, sample: Mapping[str, Any]) -> Self:
        """From a sample of a data set, `dict(inputs=..., data_samples=...)`."""
        data = detector.data_preprocessor(
            {"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]}, False
        )
        (packed_sample,) = data["data_samples"]
        objects = packed_sample.gt_instances
        return cls(
            image_id=int(packed_sample.metainfo["img_id"]),
            pixels=data["inputs"],
            meta=dict(packed_sample.metainfo),
            boxes=objects.bboxes,
            labels=objects.labels,
            areas=objects.areas,
        )

    def detections(self, chain: Chain) -> list[Target]:
        """Detections with their sources, best first."""
        place = chain.places()[-1]
        return chain.readout.detections(  # type: ignore[attr-defined, no-any-return]
            chain.features(self.pixels, place), dict(self.meta)
        )

    def objects(self, chain: Chain) -> list[Target]:
        """Ground-truth objects that have a source, numbered as in `boxes`."""
        place = chain.places()[-1]
        return chain.readout.objects(  # type: ignore[attr-defined, no-any-return]
            chain.features(self.pixels, place),
            dict(self.meta),
            self.boxes,
            self.labels,
            list(range(len(self.boxes))),
        )

    def area_of(self, target: Target) -> float | None:
        """Annotated area in px^2 of what a target shows; None for a false positive.

        A detection shows the object of its class that its box overlaps most, by at least one half.
        """
        if target.kind == "object":
            return float(self.areas[target.index])
        same = (self.labels == target.labels[0]).nonzero()[:, 0]
        if target.kind != "detection" or not len(same):
            return None
        overlap = bbox_overlaps(target.box[None], self.boxes[same])[0]
        best = int(overlap.argmax())
        return float(self.areas[same[best]]) if overlap[best] >= 0.5 else None
