"""Read and check a COCO folder: `images/`, `annotations/train.json`, `annotations/val.json`."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fpnprobe import scales
from fpnprobe.data import boxes, images
from fpnprobe.errors import FpnProbeError

Content = dict[str, Any]

_KEYS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}
_FIXES = {
    "area": "; add it (width x height of the box where there is no mask)",
    "iscrowd": "; add it (0 for a single object)",
}


@dataclass(frozen=True, slots=True)
class CocoSummary:
    """What a split holds, after every check has passed.

    Attributes:
        root: The COCO folder.
        split: "train" or "val".
        images: Number of images.
        objects: Number of annotations that are not crowds.
        crowds: Number of crowd regions.
        categories: Names in the order of the file.
        empty: Names of categories without an object; they are fine.
        scales: Objects per COCO bucket of `area`: small, medium, large.
        clipped: Boxes that stuck out of their image and were clipped.
        masks: Whether every object has a segmentation.
        warnings: Lines for the user.
    """

    root: str
    split: str
    images: int
    objects: int
    crowds: int
    categories: tuple[str, ...]
    empty: tuple[str, ...]
    scales: dict[str, int]
    clipped: int
    masks: bool
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def annotation_file(root: str | Path, split: str) -> Path:
    """The annotation file of a split.

    Raises:
        FpnProbeError: if the folder, its `images/` or the file is missing.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FpnProbeError(
            f"no data folder {folder}: give a COCO folder, or generate one with "
            "`fpnprobe data make FOLDER`"
        )
    if not (folder / "images").is_dir():
        raise FpnProbeError(f"{folder} has no folder images/: expected images/ and annotations/")
    file = folder / "annotations" / f"{split}.json"
    if not file.is_file():
        present = sorted(path.stem for path in (folder / "annotations").glob("*.json"))
        raise FpnProbeError(f"no annotation file {file}; there is: {', '.join(present) or 'none'}")
    return file


def read(root: str | Path, split: str) -> tuple[Content, int]:
    """The checked annotations of a split, boxes clipped to their images, and how many were.

    Image files are not opened; `check` does that too.

    Raises:
        FpnProbeError: one line that names the file, the first bad entry, and how many there are.
    """
    file = annotation_file(root, split)
    content = _parse(file)
    for part, keys in _KEYS.items():
        _check_entries(file, part, content[part], keys)
    if not content["images"]:
        raise FpnProbeError(f"{file} lists no image")
    _check_unique(
        file, "category name", [str(category["name"]) for category in content["categories"]]
    )
    image_ids = {image["id"] for image in content["images"]}
    category_ids = {category["id"] for category in content["categories"]}
    annotations = content["annotations"]
    _check_pointers(file, annotations, "image_id", image_ids, "image")
    _check_pointers(file, annotations, "category_id", category_ids, "category")
    clipped = boxes.clip(file, content["images"], annotations)
    return content, clipped


def check(root: str | Path, split: str) -> CocoSummary:
    """Check everything about a split, also that its image files are there and are whole images.

    The result for the image files is remembered until one of them changes.

    Raises:
        FpnProbeError: see `read`; and for image files that are missing, cut off or no images.
    """
    content, clipped = read(root, split)
    images.check(Path(root).expanduser() / "images", content["images"])
    objects = [entry for entry in content["annotations"] if not entry["iscrowd"]]
    if not objects:
        raise FpnProbeError(f"{annotation_file(root, split)} has no object: nothing to learn from")
    counts = Counter(entry["category_id"] for entry in objects)
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    buckets = Counter(scales.bucket_index([entry["area"] for entry in objects]).tolist())
    warning = f"{split}: {clipped} of {len(content['annotations'])} boxes stick out of their image"
    return CocoSummary(
        root=str(root),
        split=split,
        images=len(content["images"]),
        objects=len(objects),
        crowds=len(content["annotations"]) - len(objects),
        categories=tuple(names.values()),
        empty=tuple(name for number, name in names.items() if not counts[number]),
        scales={bucket.name: buckets[i] for i, bucket in enumerate(scales.COCO_BUCKETS)},
        clipped=clipped,
        masks=all(entry.get("segmentation") for entry in objects),
        warnings=(f"{warning} and were clipped",) if clipped else (),
    )


def content_hash(root: str | Path, split: str) -> str:
    """Hash of a split: its annotation file's bytes, and name and length of each image file.

    The pixels are not read, so it takes a second also for COCO; a copy elsewhere hashes the same.
    """
    file = annotation_file(root, split)
    digest = hashlib.sha256(file.read_bytes())
    folder = Path(root).expanduser() / "images"
    digest.update(images.fingerprint(folder, _parse(file)["images"], times=False).encode())
    return digest.hexdigest()


def _parse(file: Path) -> Content:
    try:
        content = json.loads(file.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "encoding"
        raise FpnProbeError(
            f"{file} is not valid JSON ({where}: {error}); it may be cut off: copy it again"
        ) from error
    except OSError as error:
        raise FpnProbeError(f"cannot read {file}: {error.strerror}") from error
    for part in _KEYS:
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise FpnProbeError(f"{file} has no list {part!r}: expected COCO's detection format")
    result: Content = content
    return result


def _check_entries(file: Path, part: str, entries: Sequence[Any], keys: Sequence[str]) -> None:
    """Every entry has the keys, and ids are unique."""
    for key in keys:
        bad = [
            i for i, entry in enumerate(entries) if not isinstance(entry, dict) or key not in entry
        ]
        if bad:
            raise FpnProbeError(
                f"{file}: {len(bad)} of {len(entries)} {part} have no {key!r} "
                f"(first: number {bad[0]}){_FIXES.get(key, '')}"
            )
    for key in (name for name in keys if name == "id" or name.endswith("_id")):
        bad = [i for i, entry in enumerate(entries) if not isinstance(entry[key], int | str)]
        if bad:
            raise FpnProbeError(
                f"{file}: {key} of number {bad[0]} of {part} is {entries[bad[0]][key]!r:.60}, "
                "expected a whole number"
            )
    _check_unique(file, f"id of {part}", [entry["id"] for entry in entries])


def _check_unique(file: Path, what: str, values: Sequence[Any]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise FpnProbeError(
            f"{file}: {len(repeated)} {what} occur more than once (first: {repeated[0]!r})"
        )


def _check_pointers(
    file: Path, annotations: Sequence[Content], key: str, known: set[Any], what: str
) -> None:
    bad = [entry for entry in annotations if entry[key] not in known]
    if bad:
        raise FpnProbeError(
            f"{file}: {len(bad)} of {len(annotations)} annotations point to no {what} "
            f"(first: annotation {bad[0]['id']}, {key} {bad[0][key]!r}); add it or remove them"
        )
