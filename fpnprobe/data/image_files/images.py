"""Image files of a data folder: there, whole, and as the training's decoder will give them.

Plain JPEG and PNG files are believed by their header and ending. Everything else is decoded as the
training decodes it, and so is every file of a set that is small enough.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fpnprobe.data import cache
from fpnprobe.data.annotation_file.problems import Notice
from fpnprobe.data.image_files.decoder import quiet_decoder
from fpnprobe.data.image_files.image_file import check_image_file
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

Sizes = npt.NDArray[np.int64]

_VERSION = 2  # of what is checked; raise it and every set is checked again
_SMALL = (20_000, 200 * 2**20)  # files, bytes: sets up to here are decoded, in half a minute


def fingerprint(folder: Path, names: Sequence[str], sizes: Sizes, *, times: bool) -> str:
    """Hash of names and lengths of the image files, with `times` also of their last change.

    Args:
        folder: Of the images.
        names: Of the files, from `folder`.
        sizes: Height and width as annotated, `(I, 2)`.
        times: See above.

    Raises:
        FpnProbeError: If files are missing.
    """
    digest, missing, prefix = hashlib.sha256(), list[str](), f"{folder}{os.sep}"
    for name, (height, width) in zip(names, sizes.tolist(), strict=True):
        try:
            status = os.stat(prefix + name)  # noqa: PTH116 -- COCO has 118,287 of them
        except OSError:
            missing.append(prefix + name)
            continue
        changed = status.st_mtime_ns if times else ""
        digest.update(f"{name}|{status.st_size}|{width}x{height}|{changed}\n".encode())
    if missing:
        raise FpnProbeError(
            f"{len(missing)} of {len(names)} images are missing (first: {missing[0]}): "
            f"{_other_case(Path(missing[0]))}copy them there, or remove them from the annotation "
            "file"
        )
    return digest.hexdigest()


def _other_case(missing: Path) -> str:
    """A hint where a file differs from the missing one in the case of its letters alone."""
    name = missing.name.lower()
    with contextlib.suppress(OSError):
        for sibling in missing.parent.iterdir():
            if sibling.name.lower() == name:
                return f"there is {sibling.name}, and case matters; rename them, "
    return ""


def is_small(folder: Path, names: Sequence[str]) -> bool:
    """Tell whether a set is decoded to be checked although nobody asked for it."""
    if len(names) > _SMALL[0]:
        return False
    return sum((folder / name).stat().st_size for name in names) <= _SMALL[1]


def check(
    folder: Path,
    names: Sequence[str],
    sizes: Sizes,
    *,
    decode: bool = False,
    on_file: Callable[[], None] = lambda: None,
) -> tuple[Notice, ...]:
    """Check every image file; a set that has passed is not opened again.

    Args:
        folder: Of the images.
        names: Of the files, from `folder`.
        sizes: Height and width as annotated, `(I, 2)`.
        decode: Whether every file is decoded; without, of a set that is not small (`is_small`)
            plain JPEG and PNG files are believed by their header and ending.
        on_file: Called once for each file that is opened.

    Returns:
        What the user should know.

    Raises:
        FpnProbeError: For the first file that is missing, no image, cut off, of another size, or
            turned by its camera so that the boxes may not fit.
    """
    stamp = f"{_VERSION}{folder.resolve()}{fingerprint(folder, names, sizes, times=True)}"
    decode_all = is_small(folder, names)
    notes = (
        [_note_of_passing(stamp)]
        if decode_all
        else [_note_of_passing(f"{stamp}decoded"), _note_of_passing(stamp)]
    )
    if decode:
        notes, decode_all = notes[:1], True
    for note in notes:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return tuple(Notice(**entry) for entry in json.loads(note.read_text()))
    turned, unclear, deep = list[str](), list[str](), list[str]()
    with quiet_decoder() as read_messages:
        for name, size in zip(names, sizes.tolist(), strict=True):
            header = check_image_file(
                folder / name, (size[0], size[1]), read_messages, decode=decode_all
            )
            on_file()
            if header.bits > 8:
                deep.append(name)
            if header.orientation >= 5 and header.size[0] != header.size[1]:
                turned.append(name)
            elif header.orientation > 1:
                unclear.append(name)
    if unclear and not turned:
        raise FpnProbeError(
            f"{len(unclear)} of {len(names)} images are turned or mirrored by their EXIF tag "
            f"(first: {folder / unclear[0]}), and their size does not tell whether their boxes "
            "are: store the pixels as the boxes lie, without the tag"
        )
    notices = _list_notices(len(names), turned + unclear, deep)
    atomic.write_json(notes[-1], [asdict(notice) for notice in notices])
    return notices


def _note_of_passing(stamp: str) -> Path:
    """The file that remembers that a set has passed."""
    return cache.folder() / "checked" / f"{hashlib.sha256(stamp.encode()).hexdigest()}.json"


def _list_notices(total: int, turned: list[str], deep: list[str]) -> tuple[Notice, ...]:
    lines = {
        "are turned by their EXIF tag, as their boxes are": turned,
        "have 16 bits a channel and are read as 8 (value / 256)": deep,
    }
    return tuple(
        Notice(sentence, len(names), total, "images", names[0])
        for sentence, names in lines.items()
        if names
    )
