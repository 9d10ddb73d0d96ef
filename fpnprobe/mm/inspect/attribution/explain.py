"""Targets of one image, attributed: maps and table rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from fpnprobe.attribution.chain import Chain, Place
from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.methods import INTERNAL_BATCH, STEPS, attribute
from fpnprobe.attribution.table import COLUMNS, DETAILS
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.target import Kind, Target, pick, reading
from fpnprobe.scales import BACKGROUND, COCO_BUCKETS, ScaleBucket, bucket_index

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Attribution:
    """The attribution of the targets of one image to stages or levels.

    Attributes:
        image_id: The image.
        targets: What was attributed.
        buckets: Scale bucket of each target; `background` for a false positive.
        maps: Attribution per level, example i is `targets[i]`.
        place: `stages` or `pyramid`.
        labels: Study, variant and seed for the table.
        picture: The image as shown to people, (H, W, 3), where it is at hand.
        classes: Names of the classes, for the table.
    """

    image_id: int
    targets: tuple[Target, ...]
    buckets: tuple[str, ...]
    maps: Maps
    place: Place
    labels: dict[str, Any] = field(default_factory=dict)
    picture: npt.NDArray[Any] | None = field(default=None, repr=False)
    classes: tuple[str, ...] = ()

    def plot(self, target: int = 0) -> "Figure":
        """The attribution of one target over the image, a panel for each level.

        Red speaks for the class, blue against it; all panels have one color scale, and each says
        the level's share. In Jupyter the figure shows itself.
        """
        from fpnprobe.mm.inspect.attribution.plot import draw_over_image

        if not 0 <= target < len(self.targets):
            raise FpnProbeError(
                f"no target {target} in image {self.image_id}: expected 0 to "
                f"{len(self.targets) - 1}"
            )
        chosen = self.targets[target]
        score = f", score {chosen.score:.2f}" if chosen.score == chosen.score else ""
        return draw_over_image(
            self.cells(target),
            self.maps.shares()[target].tolist(),
            picture=self.picture,
            box=[float(v) for v in chosen.box],
            title=f"{chosen.kind} {chosen.index}: {self._details(chosen)['label']}{score}",
        )

    def __repr__(self) -> str:
        kinds = ", ".join(sorted({target.kind for target in self.targets}))
        return f"Attribution(image {self.image_id}, {len(self.targets)} x {kinds}, {self.maps!r})"

    def _repr_html_(self) -> str:
        shown = self.to_pandas().pivot_table(
            index=["kind", "object", "bucket", "assigned_level"],
            columns="level",
            values="share",
            sort=False,
            dropna=False,
        )
        return str(shown.to_html(float_format="{:.2f}".format))

    def cells(self, target: int = 0) -> dict[str, npt.NDArray[np.float64]]:
        """Attribution of every cell for one of the targets, `(H, W)` per level, signed."""
        return {
            name: level[target].double().cpu().numpy()
            for name, level in zip(self.maps.levels, self.maps.cells(), strict=True)
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row per target and level, columns as in `fpnprobe.attribution.table.COLUMNS`."""
        maps = self.maps
        shares, net = maps.shares().cpu(), maps.net().cpu()
        residual = maps.residual().cpu()
        rows = [
            {
                "study": "",
                "variant": "",
                "seed": 0,
                **self.labels,
                "image_id": self.image_id,
                "object": target.index,
                "kind": target.kind,
                "bucket": self.buckets[i],
                "method": maps.method,
                "place": self.place,
                "level": name,
                "share": float(shares[i, k]),
                "attribution": float(net[i, k]),
                "assigned_level": target.level,
                "value": float(maps.value[i]),
                "residual": float(residual[i]),
                **self._details(target),
            }
            for i, target in enumerate(self.targets)
            for k, name in enumerate(maps.levels)
        ]
        return pd.DataFrame(rows, columns=[*COLUMNS, *DETAILS])

    def _details(self, target: Target) -> dict[str, Any]:
        """Class, score and box of a target, in input pixels."""
        number = int(target.labels[0]) if len(target.labels) else -1
        known = 0 <= number < len(self.classes)
        x0, y0, x1, y1 = (float(v) for v in target.box)
        values = (self.classes[number] if known else str(number), target.score, x0, y0, x1 - x0,
                  y1 - y0)  # fmt: skip
        return dict(zip(DETAILS, values, strict=True))


def targets_of(
    chain: Chain,
    image: DetectorImage,
    *,
    kind: Kind = "object",
    index: int | None = None,
    bucket: str | None = None,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
) -> list[Target]:
    """What is asked for: all detections, objects or buckets of an image, or one of them.

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
    where = f"image {image.image_id}"
    if kind == "detection":
        found = image.detections(chain)
        if not found or index is not None:
            return [pick(found, index or 0, image=where)]
        return found
    objects = image.objects(chain)
    if kind == "object":
        if index is None:
            return objects
        if not 0 <= index < len(image.boxes):
            raise FpnProbeError(
                f"object {index} of {where} does not exist: expected 0 to {len(image.boxes) - 1}"
                if len(image.boxes)
                else f"{where} has no objects: attribute another image"
            )
        chosen = [target for target in objects if target.index == index]
        if not chosen:
            raise FpnProbeError(
                f"object {index} of {where} is assigned to no prior, so it has no class logit: "
                "attribute a detection instead"
            )
        return chosen
    names = [each.name for each in buckets]
    if bucket is not None and bucket not in names:
        raise FpnProbeError(f"unknown bucket {bucket!r}: expected one of {', '.join(names)}")
    groups = {
        name: [t for t in objects if _bucket(image.area_of(t), buckets) == name]
        for name in names
        if bucket in (None, name)
    }
    if bucket is not None and not groups[bucket]:
        raise FpnProbeError(f"{where} has no {bucket} objects: attribute another image")
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


def _bucket(area: float | None, buckets: Sequence[ScaleBucket]) -> str:
    return BACKGROUND if area is None else buckets[int(bucket_index([area], buckets)[0])].name


def _bucket_of(image: DetectorImage, target: Target, buckets: Sequence[ScaleBucket]) -> str:
    if target.kind != "bucket":
        return _bucket(image.area_of(target), buckets)
    return target.bucket
