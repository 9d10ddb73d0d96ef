"""Image files of a data folder: there, whole, and as the training's decoder will give them.

Plain JPEG and PNG files are believed by their header and ending. Everything else is decoded as the
training decodes it, and so is every file of a set that is small enough.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fpnprobe.data import cache
from fpnprobe.data.decoder import MOST_PIXELS, explain_failure, quiet_decoder, read_picture
from fpnprobe.data.headers import Header, read_header
from fpnprobe.data.problems import Notice
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

Sizes = npt.NDArray[np.int64]

_VERSION = 2  # of what is checked; raise it and every set is checked again
_SMALL = (20_000, 200 * 2**20)  # files, bytes: sets up to here are decoded, in half a minute
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange width and height


def fingerprint(folder: Path, names: Sequence[str], sizes: Sizes, *, times: bool) -> str:
    """Hash of names and lengths of the image files, with `times` also of their last change.

    Args:
        folder: of the images.
        names: of the files, from `folder`.
        sizes: height and width as annotated, `(I, 2)`.
        times: see above.

    Raises:
        FpnProbeError: if files are missing.
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
    """Whether a set is decoded to be checked although nobody asked for it."""
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
        folder: of the images.
        names: of the files, from `folder`.
        sizes: height and width as annotated, `(I, 2)`.
        decode: whether every file is decoded; without, of a set that is not small (`is_small`)
            plain JPEG and PNG files are believed by their header and ending.
        on_file: called once for each file that is opened.

    Returns:
        What the user should know.

    Raises:
        FpnProbeError: for the first file that is missing, no image, cut off, of another size, or
            turned by its camera so that the boxes may not fit.
    """
    stamp = f"{_VERSION}{folder.resolve()}{fingerprint(folder, names, sizes, times=True)}"
    decode_all = is_small(folder, names)
    notes = [_note(stamp)] if decode_all else [_note(f"{stamp}decoded"), _note(stamp)]
    if decode:
        notes, decode_all = notes[:1], True
    for note in notes:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return tuple(Notice(**entry) for entry in json.loads(note.read_text()))
    turned, unclear, deep = list[str](), list[str](), list[str]()
    with quiet_decoder() as read_messages:
        for name, size in zip(names, sizes.tolist(), strict=True):
            header = _check_one(folder / name, (size[0], size[1]), read_messages, decode=decode_all)
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
    notices = _notices(len(names), turned + unclear, deep)
    atomic.write_json(notes[-1], [asdict(notice) for notice in notices])
    return notices


def _note(stamp: str) -> Path:
    """The file that remembers that a set has passed."""
    return cache.folder() / "checked" / f"{hashlib.sha256(stamp.encode()).hexdigest()}.json"


def _notices(total: int, turned: list[str], deep: list[str]) -> tuple[Notice, ...]:
    lines = {
        "are turned by their EXIF tag, as their boxes are": turned,
        "have 16 bits a channel and are read as 8 (value / 256)": deep,
    }
    return tuple(
        Notice(sentence, len(names), total, "images", names[0])
        for sentence, names in lines.items()
        if names
    )


def _check_one(
    file: Path, size: tuple[int, int], read_messages: Callable[[], str], *, decode: bool
) -> Header:
    """The header of a file that is whole and of the annotated size (height, width)."""
    try:
        header = read_header(file)
    except OSError as error:
        raise FpnProbeError(f"{file} cannot be read: {error.strerror}") from error
    _refuse_large(file, header)
    if header is None or not header.whole or header.bits != 8 or decode:
        decoded_size = _decoded(file, read_messages)
        header = header or _header_of_decoded(file, decoded_size)
    elif header.orientation >= 5:
        decoded_size = header.size[::-1]
    else:
        decoded_size = header.size
    if decoded_size != size:
        hint = ""
        if decoded_size == size[::-1] and header.orientation > 1:
            hint = (
                f": its EXIF tag (orientation {header.orientation}) turns it, and its boxes are of "
                "the unturned picture; store the pixels as the boxes lie, without the tag"
            )
        raise FpnProbeError(
            f"{file} is {decoded_size[1]} x {decoded_size[0]} px, its annotation says {size[1]} x "
            f"{size[0]}{hint}"
        )
    return header


def _refuse_large(file: Path, header: Header | None) -> None:
    """Refuse a file whose header tells of more pixels than decoding can take memory for."""
    size, bits = (header.size, header.bits) if header else (_size_by_pillow(file), 8)
    if size[0] * size[1] * -(-bits // 8) > MOST_PIXELS:
        raise FpnProbeError(
            f"{file} has {size[1]} x {size[0]} px of {bits} bits a channel, which takes over 2 GB "
            "to decode: cut it into tiles"
        )


def _size_by_pillow(file: Path) -> tuple[int, int]:
    """Height and width by Pillow, which reads the header alone; zeros where it cannot.

    Raises:
        FpnProbeError: if it is larger than Pillow opens.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:
            return picture.height, picture.width
    except Image.DecompressionBombError as error:  # over 179 million pixels
        reason = str(error).split(",")[0]
        raise FpnProbeError(
            f"{file} is too large to decode ({reason}): cut it into tiles"
        ) from error
    except (OSError, SyntaxError, ValueError, TypeError):
        return 0, 0


def _decoded(file: Path, read_messages: Callable[[], str]) -> tuple[int, int]:
    """Height and width of the picture as the training's decoder gives it."""
    picture = read_picture(file, read_messages)
    if picture.pixels is None or picture.cut:
        raise FpnProbeError(
            f"{file} cannot be read as an image ({explain_failure(file, picture)}): replace it, or "
            "remove it from the annotation file"
        )
    return picture.pixels.shape[0], picture.pixels.shape[1]


def _header_of_decoded(file: Path, decoded: tuple[int, int]) -> Header:
    """Size, orientation and depth of a file that is neither JPEG nor PNG and could be decoded."""
    plain = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    kind = np.dtype(np.uint8) if plain is None else plain.dtype
    if kind not in (np.uint8, np.uint16):
        raise FpnProbeError(
            f"{file} holds numbers of type {kind}, which are no colors from 0 to 255: store it "
            "with 8 bits a channel"
        )
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:
            orientation = int(picture.getexif().get(_ORIENTATION, 1))
            return Header((picture.height, picture.width), orientation, 8 * kind.itemsize, True)
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return Header(decoded, 1, 8 * kind.itemsize, True)
