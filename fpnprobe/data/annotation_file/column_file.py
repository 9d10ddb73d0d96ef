"""Annotations in columns as one file, mapped into memory: parsed once, shared by all processes.

COCO's train2017 is 450 MB of JSON. Every process of a training would parse it for itself and keep
its own copy; the columns, written once beside the decoded images, are pages of one file that all
processes and their workers read.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.identity import Keys
from fpnprobe.data.annotation_file.masks import Masks
from fpnprobe.data.annotation_file.reader import read
from fpnprobe.data.annotation_file.usable import usable
from fpnprobe.data.cache import folder as cache_folder
from fpnprobe.store import atomic

LARGE = 16 * 2**20  # bytes of JSON; a smaller file is parsed sooner than its columns are written
_VERSION = 1  # raise with every change of `Annotations`, of `Masks` or of what is usable
_ALIGNED = 64
_MAGIC = b"fpnprobe columns\n"


def read_usable(path: str | Path, *, area: str | None = None) -> Annotations:
    """Read what is used of an annotation file; a large one through its columns on disk.

    Args:
        path: The file.
        area: "box" takes the area of an object from its box.

    Raises:
        FpnProbeError: See `annotations.read` and `usable.usable`, beside.
    """
    source = Path(path)
    if not source.is_file() or source.stat().st_size < LARGE:
        return usable(read(source, area=area))[0]
    columns = columns_path(source, area=area)
    if not columns.is_file():
        write_columns(columns, usable(read(source, area=area))[0])
    return map_columns(columns)


def columns_path(source: Path, *, area: str | None = None) -> Path:
    """Name the column file of an annotation file: by its path, length, time and kind of area."""
    status = source.stat()
    facts = [_VERSION, str(source.resolve()), status.st_size, status.st_mtime_ns]
    facts += [area] if area else []
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    return cache_folder() / "annotations" / f"{name}.columns"


def write_columns(path: str | Path, annotations: Annotations) -> None:
    """Write the columns; `map_columns` reads them back."""
    atomic.write(path, lambda file: _fill(file, annotations))


def map_columns(path: str | Path) -> Annotations:
    """Read columns without loading their arrays: those are pages of the file."""
    with Path(path).open("rb") as file:
        file.read(len(_MAGIC))
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    base = _aligned(len(_MAGIC) + 8 + length)
    arrays = {
        name: mapped[base + at : base + at + size].view(np.dtype(kind)).reshape(shape)
        for name, (kind, shape, at, size) in header["arrays"].items()
    }
    masks: dict[str, Any] = {
        name.removeprefix("masks."): array
        for name, array in arrays.items()
        if name.startswith("masks.")
    }
    masks["counts"] = masks["counts"].tobytes()
    plain = header["plain"]
    for name in ("image_keys", "category_keys"):
        plain[name] = Keys(tuple(plain[name]))
    for name in ("image_names", "category_names"):
        plain[name] = tuple(plain[name])
    columns = {name: array for name, array in arrays.items() if "." not in name}
    return Annotations(**plain, **columns, masks=Masks(**masks))


def _fill(file: BinaryIO, annotations: Annotations) -> None:
    plain: dict[str, Any] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for field in dataclasses.fields(annotations):
        value = getattr(annotations, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif isinstance(value, Keys):
            plain[field.name] = list(value.values)
        elif not isinstance(value, Masks):
            plain[field.name] = value
    for field in dataclasses.fields(annotations.masks):
        value = getattr(annotations.masks, field.name)
        array = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
        arrays[f"masks.{field.name}"] = array
    places, at = {}, 0
    for name, array in arrays.items():
        places[name] = (array.dtype.str, array.shape, at, array.nbytes)
        at = _aligned(at + array.nbytes)
    header = json.dumps({"plain": plain, "arrays": places}).encode()
    file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
    _pad(file, len(_MAGIC) + 8 + len(header))
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).data)
        _pad(file, array.nbytes)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _pad(file: BinaryIO, size: int) -> None:
    file.write(bytes(_aligned(size) - size))
