"""The one reader of annotation files: COCO's detection format, typed, in columns.

Everything that needs annotations reads them through here: the check, training, decoding, areas,
evaluation, attribution and subsets. `read` refuses what has no clear meaning in one line, and keeps
the rest as it is; `usable`, beside, then clips boxes and leaves out what cannot be used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpnprobe.data.annotation_file import documents
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.objects import ObjectColumns
from fpnprobe.data.annotation_file.pictures import CategoryColumns, ImageColumns
from fpnprobe.errors import FpnProbeError

PARTS = ("images", "annotations", "categories")


FOLDER_KEY = "fpnprobe_images"  # of a file that we wrote: folder of its images, from the root


AREAS = ("box",)


def read(path: str | Path, *, area: str | None = None) -> Annotations:
    """Read an annotation file, `.json` or `.json.gz`.

    Args:
        path: The file.
        area: "box" takes the area of an object from its box, for data that have none.

    Raises:
        FpnProbeError: One line that names the file, the first bad entry, and how many there are.
    """
    return parse(documents.read_text(path), str(path), area=area)


def parse(text: str, where: str, *, area: str | None = None) -> Annotations:
    """Annotations from the text of a file; see `read`."""
    columns = _Columns(where, area)
    document = documents.scan(text, where, columns.takers())
    return columns.finish(document)


def of(content: Mapping[str, Any], where: str, *, area: str | None = None) -> Annotations:
    """Annotations from a COCO dictionary; see `read`."""
    if not isinstance(content, Mapping):
        raise FpnProbeError(f"{where} holds a {type(content).__name__}, expected a COCO dictionary")
    columns = _Columns(where, area)
    document = dict(content)
    for list_name, take in columns.takers().items():
        if isinstance(content.get(list_name), list):
            for entry in content[list_name]:
                take(entry)
            document[list_name] = len(content[list_name])
    return columns.finish(document)


class _Columns:
    """The three lists of a file while they are read, in whatever order they stand there."""

    def __init__(self, where: str, area: str | None) -> None:
        if area is not None and area not in AREAS:
            raise FpnProbeError(f"area={area!r}: expected 'box', or nothing for the file's `area`")
        self.where, self.area = where, area
        self.images = ImageColumns(where)
        self.categories = CategoryColumns(where)
        self.objects = ObjectColumns(where, area_of_box=area == "box")

    def takers(self) -> dict[str, Any]:
        return {
            "images": self.images.add,
            "annotations": self.objects.add,
            "categories": self.categories.add,
        }

    def finish(self, document: Mapping[str, Any]) -> Annotations:
        for list_name in PARTS:
            if type(document.get(list_name)) is not int:
                raise FpnProbeError(
                    f"{self.where} has no list {list_name!r}: expected COCO's detection format"
                )
        image_keys, names, sizes = self.images.finish()
        category_keys, category_names = self.categories.finish()
        columns = self.objects.finish(image_keys, category_keys, sizes)
        folder = document.get(FOLDER_KEY)
        return Annotations(
            where=self.where,
            image_keys=image_keys,
            image_names=names,
            sizes=sizes,
            category_keys=category_keys,
            category_names=category_names,
            folder=folder if isinstance(folder, str) else None,
            area_of_box=self.area == "box",
            other={key: document[key] for key in ("info", "licenses") if key in document},
            **columns,
        )
