"""The data of a study as its folder names them: files, classes, counts and their hash."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fpnprobe.store import paths
from fpnprobe.study.folder.fitting import Bucket

_PATHS = ("root", "train", "val")


@dataclass(frozen=True, slots=True)
class Source:
    """The data of a study: its files, and what they hold.

    Attributes:
        root: COCO folder (absolute) with `images/`.
        train: Annotation file that is trained on (a subset where the study limits the data).
        val: Annotation file that is evaluated on.
        classes: Names of the classes, in the order of the labels.
        root_hash: Hash of the content of both splits.
        images: Number of images, training then validation.
        objects: Number of objects, training then validation.
        notes: What the check had to say, for the manifest.
        size: Short side in px that a study with `data.size="auto"` resizes images to.
        buckets: Scale buckets that a study with `buckets="auto"` has; none for COCO's.
        by_bucket: Objects of each bucket, of the training and then of the validation.
        unmasked: Objects without a mask, training (crowds left out) then validation.
        category_ids: Ids of the classes in `val`, which detections have; none in a folder that
            was made before they were kept.
    """

    root: str
    train: str
    val: str
    classes: tuple[str, ...]
    root_hash: str
    images: tuple[int, int]
    objects: tuple[int, int]
    notes: tuple[str, ...] = ()
    size: int = 0
    buckets: tuple[Bucket, ...] = ()
    by_bucket: tuple[tuple[int, ...], ...] = ()
    unmasked: tuple[int, int] = (0, 0)
    category_ids: tuple[int, ...] = ()

    def as_json(self, *, study: str | Path) -> dict[str, Any]:
        """Plain content for `study.json` in the folder `study`; see `fpnprobe.store.paths`."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain | {key: paths.to_stored(plain[key], study=study) for key in _PATHS}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, study: str | Path) -> "Source":
        """The inverse of `as_json`."""
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
        return cls(
            **plain | {key: str(paths.from_stored(plain[key], study=study)) for key in _PATHS}
        )
