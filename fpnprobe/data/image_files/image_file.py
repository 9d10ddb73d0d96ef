"""One image file checked: whole, of the annotated size, and what the training's decoder gives."""

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from fpnprobe.data.image_files.decoder import MOST_PIXELS, explain_failure, read_picture
from fpnprobe.data.image_files.headers import Header, read_header
from fpnprobe.errors import FpnProbeError

_ORIENTATION = 0x0112  # EXIF tag; 5 to 8 exchange width and height


def check_image_file(
    file: Path, size: tuple[int, int], read_messages: Callable[[], str], *, decode: bool
) -> Header:
    """The header of a file that is whole and of the annotated size (height, width)."""
    try:
        header = read_header(file)
    except OSError as error:
        raise FpnProbeError(f"{file} cannot be read: {error.strerror}") from error
    _refuse_large(file, header)
    if header is None or not header.whole or header.bits != 8 or decode:
        decoded_size = _decode_size(file, read_messages)
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
        FpnProbeError: If it is larger than Pillow opens.
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


def _decode_size(file: Path, read_messages: Callable[[], str]) -> tuple[int, int]:
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
