"""Image files of a COCO folder: there, whole, and of the size that the annotations say."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fpnprobe.data import cache
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

# Last bytes of a whole file; any other ending is decoded to the end before it is believed.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange width and height


def fingerprint(folder: Path, images: Sequence[dict[str, Any]], *, times: bool) -> str:
    """Hash of names and lengths of the image files, with `times` also of their last change.

    Raises:
        FpnProbeError: if files are missing.
    """
    digest, missing = hashlib.sha256(), []
    for image in images:
        file = folder / _inside(image["file_name"])
        try:
            status = file.stat()
        except OSError:
            missing.append(file)
            continue
        changed = status.st_mtime_ns if times else ""
        size = f"{image['width']}x{image['height']}"
        digest.update(f"{image['file_name']}|{status.st_size}|{size}|{changed}\n".encode())
    if missing:
        raise FpnProbeError(
            f"{len(missing)} of {len(images)} images are missing (first: {missing[0]}): "
            "copy them there, or remove them from the annotation file"
        )
    return digest.hexdigest()


def _inside(name: object) -> str:
    """A file name that stays inside its folder.

    Raises:
        FpnProbeError: for anything else.
    """
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise FpnProbeError(
            f"file_name {name!r} of an image does not name a file inside images/: expected a "
            "relative name without '..'"
        )
    return name


def check(folder: Path, images: Sequence[dict[str, Any]]) -> None:
    """Open the header of every image file; a set that has passed is not opened again.

    Raises:
        FpnProbeError: for the first file that is missing, no image, cut off, or of another size.
    """
    seen = fingerprint(folder, images, times=True)
    note = (
        cache.folder()
        / "checked"
        / f"{hashlib.sha256(f'{folder.resolve()}{seen}'.encode()).hexdigest()}"
    )
    if note.is_file():
        return
    for image in images:
        _check_one(folder / str(image["file_name"]), int(image["width"]), int(image["height"]))
    atomic.write_text(note, f"{folder.resolve()}\n")


def _check_one(file: Path, width: int, height: int) -> None:
    try:
        with Image.open(file) as image:
            size = image.size
            turned = size == (height, width) and image.getexif().get(_ORIENTATION, 1) >= 5
            whole = _ends_well(file, image.format)
            if not whole:
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FpnProbeError(
            f"{file} cannot be read as an image ({' '.join(str(error).split())}): "
            "replace it, or remove it from the annotation file"
        ) from error
    if size != (width, height) and not turned:
        raise FpnProbeError(
            f"{file} is {size[0]} x {size[1]} px, its annotation says {width} x {height}"
        )


def _ends_well(file: Path, kind: str | None) -> bool:
    ending = _ENDINGS.get(kind or "")
    if ending is None:
        return False
    with file.open("rb") as handle:
        handle.seek(-len(ending), 2)
        return handle.read() == ending
