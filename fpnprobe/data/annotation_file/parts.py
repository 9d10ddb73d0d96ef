"""Write annotations as a COCO file, an entry at a time: what of a data set a study uses."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.reader import FOLDER_KEY
from fpnprobe.data.annotation_file.usable import with_plain_ids
from fpnprobe.store import atomic


def write_part(path: str | Path, annotations: Annotations, *, root: Path, folder: Path) -> None:
    """Write a COCO file that every reader understands, ours and others.

    Ids are whole numbers below 2^53, those of the source where they were. The folder of the images
    is noted from the data's root.

    Args:
        path: The file to write.
        annotations: What is used.
        root: The data folder.
        folder: Of the images.
    """
    plain = with_plain_ids(annotations)
    atomic.write(path, lambda file: _fill(file, plain, os.path.relpath(folder, root)))


def _fill(file: BinaryIO, annotations: Annotations, folder: str) -> None:
    head = json.dumps({**annotations.other, FOLDER_KEY: folder})
    file.write(head[:-1].encode())
    for name, entries in (
        ("categories", _categories(annotations)),
        ("images", _images(annotations)),
        ("annotations", _objects(annotations)),
    ):
        file.write(f', "{name}": ['.encode())
        between = ""
        for entry in entries:
            file.write(f"{between}{json.dumps(entry)}".encode())
            between = ", "
        file.write(b"]")
    file.write(b"}\n")


def _categories(annotations: Annotations) -> Iterator[dict[str, Any]]:
    for key, name in zip(annotations.category_keys.values, annotations.category_names, strict=True):
        yield {"id": key, "name": name}


def _images(annotations: Annotations) -> Iterator[dict[str, Any]]:
    for key, name, (height, width) in zip(
        annotations.image_keys.values,
        annotations.image_names,
        annotations.sizes.tolist(),
        strict=True,
    ):
        yield {"id": key, "file_name": name, "width": width, "height": height}


def _objects(annotations: Annotations) -> Iterator[dict[str, Any]]:
    images, categories = annotations.image_keys.values, annotations.category_keys.values
    for row in range(len(annotations.image)):
        entry = {
            "id": row + 1,
            "image_id": images[annotations.image[row]],
            "category_id": categories[annotations.category[row]],
            "bbox": annotations.boxes[row].tolist(),
            "area": float(annotations.areas[row]),
            "iscrowd": int(annotations.crowd[row]),
        }
        mask = annotations.masks[row]
        yield entry if mask is None else entry | {"segmentation": mask}
