"""The data of a study made ready: a checked COCO folder, its two annotation files, their hash."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config.schema import Study
from fpnprobe.store import atomic, paths
from fpnprobe.study.folder.cell_key import digest

_PATHS = ("root", "train", "val")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a study's data lies and what it holds.

    Attributes:
        root: COCO folder (absolute) with `images/`.
        train: annotation file that is trained on (a subset where the study limits the data).
        val: annotation file that is evaluated on.
        classes: names of the classes, in the order of the labels.
        root_hash: hash of the content of both splits.
        images: number of images, training then validation.
        objects: number of objects, training then validation.
        notes: what the check had to say, for the manifest.
    """

    root: str
    train: str
    val: str
    classes: tuple[str, ...]
    root_hash: str
    images: tuple[int, int]
    objects: tuple[int, int]
    notes: tuple[str, ...] = ()

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


def iterations(study: Study, images: int) -> int:
    """Optimizer steps of one cell.

    Args:
        study: its `schedule.iterations`, or `schedule.epochs` times the images over the batch.
        images: number of training images.
    """
    if study.schedule.iterations is not None:
        return study.schedule.iterations
    assert study.schedule.epochs is not None  # the schedule has exactly one of both
    return max(1, round(study.schedule.epochs * images / study.schedule.batch))


def prepare(study: Study, *, out: str | Path, write: bool = True) -> Source:
    """Make or check the data of a study.

    Training images without an object are left out. Where that, the study's limits, or boxes that
    stick out of their image change a split, its annotation file is `<out>/data/<split>.json`.

    Args:
        study: the study.
        out: its output folder.
        write: whether that file is written; without, only what it would hold is told.

    Raises:
        FpnProbeError: if the COCO folder is missing or an annotation or image is bad.
    """
    from fpnprobe.data import coco, scenes

    data = study.data
    if data.scenes is not None:
        root = scenes.cached(**data.scenes).absolute()
    else:
        root = Path(str(data.root)).expanduser().absolute()
    summaries = [coco.check(root, split) for split in (data.train, data.val)]
    parts = _parts(study, root)
    files = []
    for split, part in zip((data.train, data.val), parts, strict=True):
        file = coco.annotation_file(root, split)
        if part is not None:
            file = Path(out).absolute() / "data" / f"{split}.json"
            if write:
                atomic.write_json(file, part)
        files.append(str(file))
    kept = [
        (part and len(part["images"])) or summary.images
        for part, summary in zip(parts, summaries, strict=True)
    ]
    objects = [
        (part and sum(not each["iscrowd"] for each in part["annotations"])) or summary.objects
        for part, summary in zip(parts, summaries, strict=True)
    ]
    names = (part := parts[0]) and tuple(str(each["name"]) for each in part["categories"])
    return Source(
        root=str(root),
        train=files[0],
        val=files[1],
        classes=names or summaries[0].categories,
        root_hash=digest([coco.content_hash(root, split) for split in (data.train, data.val)]),
        images=(kept[0], kept[1]),
        objects=(objects[0], objects[1]),
        notes=tuple(line for summary in summaries for line in summary.warnings),
    )


def decode(found: Source, study: Study) -> None:
    """Decode the images of both splits into the cache that the cells share, where it is used.

    Cells that start together would each do it, and a cell that is stopped waits for it.
    """
    from fpnprobe.data import pixels

    for file in (found.train, found.val):
        images = json.loads(Path(file).read_text())["images"]
        pixels.store(found.root, images, size=study.data.size, cache=study.data.cache)


def _parts(study: Study, root: Path) -> list[dict[str, Any] | None]:
    """Content of each split as it is used, or None where that is the file as it is."""
    from fpnprobe.data import coco, subset

    data, limits, classes = study.data, study.data.limits, study.data.limits.classes
    parts: list[dict[str, Any] | None] = []
    for split, count in ((data.train, limits.train_images), (data.val, limits.val_images)):
        content, clipped = coco.read(root, split)
        if isinstance(classes, int):
            classes = subset.frequent_classes(content, classes)
        fewest = 1 if split == data.train or classes else 0
        part = subset.select(content, images=count, classes=classes, min_objects=fewest)
        same = len(part["images"]) == len(content["images"]) and classes is None and not clipped
        parts.append(None if same else part)
    return parts
