"""Layouts of data folders: where COCO and its relatives keep annotation files and images.

Each split has an annotation file and a folder of images. The places that exporters use are tried in
turn; of the folders that exist, the one that holds the images named in the file is taken.

    annotations/train.json                    images/                    ours, mmdet
    annotations/instances_train2017.json      train2017/                 COCO
    annotations/instances_Train.json          images/Train/              CVAT
    train/_annotations.coco.json              train/                     Roboflow
    train/labels.json, train/annotations.json train/data/, train/images/ FiftyOne and others
    train/result.json                         train/images/              Label Studio
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fpnprobe.errors import FpnProbeError

_ALIASES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
}
_ROBOFLOW = "_annotations.coco.json"
_INSIDE = (
    _ROBOFLOW, "annotations.json", "labels.json", "instances.json", "coco.json", "result.json",
)  # fmt: skip
_SAMPLE = 20  # names that are looked for

_LOOKED_AT = 20  # XML files, before a folder is said to be no VOC


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of a split: its folder, layout and annotation file.

    Attributes:
        name: Of the layout, for a person.
        root: The data folder.
        split: Name of the split, as it was asked for.
        annotations: Its annotation file.
    """

    name: str
    root: Path
    split: str
    annotations: Path


def find_layout(root: str | Path, split: str) -> Layout:
    """The annotation file of a split, in whatever layout the folder has.

    Args:
        root: The data folder.
        split: "train", "val", the name of an annotation file without `.json`, or its path from
            the folder.

    Raises:
        FpnProbeError: If the folder or the file is missing, or several files could be meant.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise FpnProbeError(
            f"no data folder {folder}: give a COCO folder, or generate one with "
            "`fpnprobe data make FOLDER`"
        )
    for name, files in _list_candidates(folder, split):
        present = sorted({file.resolve(): file for file in files if file.is_file()}.values())
        if len(present) > 1:
            names = ", ".join(str(file.relative_to(folder)) for file in present)
            raise FpnProbeError(
                f"{folder} has several annotation files for {split!r}: {names}; say which: "
                f"`--split {present[-1].stem}`, `--set data.{split}={present[-1].stem}`"
            )
        if present:
            return Layout(name, folder, split, present[0])
    raise FpnProbeError(_describe_missing(folder, split))


def find_images(root: Path, file: Path, names: Sequence[str]) -> Path:
    """The folder of the images of an annotation file.

    Raises:
        FpnProbeError: If none of the places where it may be exists.
    """
    stem = re.sub(r"^(instances|annotations|labels)_|_annotations$", "", file.stem)
    bare = re.sub(r"\d{4}$", "", stem)
    below = file.parent if file.parent != root / "annotations" else root
    places = [
        *(root / "images" / name for name in (stem, bare)),
        *(root / name for name in (stem, bare)),
        *(below / name for name in ("images", "data", "JPEGImages")),
        *(root / name for name in ("images", "JPEGImages", "data")),
        below,
        file.parent,
        root,
    ]
    present = list(dict.fromkeys(candidate for candidate in places if candidate.is_dir()))
    step = max(1, len(names) // _SAMPLE)
    sample = names[::step][:_SAMPLE]
    counts = [sum((candidate / name).is_file() for name in sample) for candidate in present]
    if max(counts, default=0):
        return present[counts.index(max(counts))]
    usual = root / "images"
    return usual if usual.is_dir() or not present else present[0]


def _list_candidates(folder: Path, split: str) -> Iterator[tuple[str, list[Path]]]:
    """Name of a layout and the files that a split may have in it, in turn."""
    lists = folder / "annotations"
    if split and not Path(split).is_absolute() and ".." not in Path(split).parts:
        exact = [lists / f"{split}.json", lists / f"{split}.json.gz", lists / split]
        if split.endswith((".json", ".json.gz")):
            exact.append(folder / split)
        yield _name_of(folder, split), exact[:1]
        yield _name_of(folder, split), exact[1:]
    for alias in _ALIASES.get(split.lower(), (split,)):
        present = list(lists.glob("*.json")) if lists.is_dir() else []
        pattern = re.compile(rf"instances_{re.escape(alias)}(\d{{4}})?", re.IGNORECASE)
        yield "COCO", [file for file in present if pattern.fullmatch(file.stem)]
        pattern = re.compile(rf"{re.escape(alias)}(\d{{4}})?", re.IGNORECASE)
        yield "COCO", [file for file in present if pattern.fullmatch(file.stem)]
        yield "Roboflow", [folder / alias / _ROBOFLOW]
        for name in (*_INSIDE[1:], f"{alias}.json"):
            yield "a folder per split", [folder / alias / name]
        yield "a file per split", [folder / f"{alias}.json"]


def _name_of(folder: Path, split: str) -> str:
    if split.startswith("instances_"):
        return "CVAT" if (folder / "images").is_dir() else "COCO"
    return "images/ and annotations/" if (folder / "images").is_dir() else "an image folder a split"


def _describe_missing(folder: Path, split: str) -> str:
    lists = folder / "annotations"
    present = sorted(path.stem for path in lists.glob("*.json")) if lists.is_dir() else []
    inside = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/{_ROBOFLOW}"))
    if present:
        listed = f"{', '.join(present[:5])}{' ...' if len(present) > 5 else ''}"
        return (
            f"no annotation file {lists / f'{split}.json'}; there is: {listed}; name "
            "one (`--split NAME`, `--set data.train=NAME --set data.val=NAME`)"
        )
    if inside:
        return f"{folder} has no split {split!r}; there is: {', '.join(inside)} (Roboflow's layout)"
    for below in sorted(subfolder for subfolder in folder.glob("*") if subfolder.is_dir()):
        if any(
            files
            for _, candidates in _list_candidates(below, split)
            for files in candidates
            if files.is_file()
        ):
            return f"{folder} has no split {split!r}, and {below} has one: give that folder"
    if any(_is_voc(file) for file in islice(folder.rglob("*.xml"), _LOOKED_AT)):
        return (
            f"{folder} holds XML files and no COCO annotation file: expected images/ and "
            'annotations/train.json; convert VOC to COCO first (its area: data.area="box")'
        )
    if any(folder.glob("labels/**/*.txt")) or any(folder.glob("*/labels/*.txt")):
        return (
            f"{folder} holds YOLO's text files and no COCO annotation file: convert them to COCO "
            "(its boxes are a center, width and height as shares of the image's sides)"
        )
    return (
        f"no annotation file of split {split!r} in {folder}: expected images/ and "
        f"annotations/{split}.json, or COCO's, CVAT's or Roboflow's layout"
    )


def _is_voc(file: Path) -> bool:
    """Whether an XML file is one of PASCAL VOC's annotations, and not something else's."""
    try:
        with file.open("rb") as stream:
            return b"<annotation" in stream.read(1000)
    except OSError:
        return False
