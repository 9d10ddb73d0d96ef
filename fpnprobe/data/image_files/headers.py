"""Size of a JPEG or PNG from its header, and whether the file is whole, without decoding it.

What is not plain (16 bits, an unusual kind, an ending that is missing) is not answered here: then
the decoder of the training has to say.
"""

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

_HEADS = (4096, 2**16, 2**20)  # bytes: thumbnails and profiles may stand before the size
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_MOST_CHUNKS = 100_000  # of a PNG: 8 kB each for most programs; what has more is decoded
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that the header of an image file states.

    Attributes:
        size: Height and width as stored, px.
        orientation: EXIF's 1 to 8; 1 is as stored, 5 to 8 exchange height and width.
        bits: Per channel.
        whole: Whether the file ends as a whole one does.
    """

    size: tuple[int, int]
    orientation: int
    bits: int
    whole: bool


def read_header(file: Path) -> Header | None:
    """The header of a JPEG or PNG; None for other files and for what is unusual.

    Raises:
        OSError: If the file cannot be read.
    """
    handle = os.open(file, os.O_RDONLY)
    try:
        length = os.fstat(handle).st_size
        tail = os.pread(handle, 12, max(0, length - 12))
        for size in _HEADS:
            head = os.pread(handle, size, 0)
            header = _parse_header(head, tail)
            if header is not None and header.whole and head[:8] == _PNG:
                return replace(header, whole=_has_all_chunks(handle, length))
            if header is not None or length <= size:
                return header
    finally:
        os.close(handle)
    return None


def _parse_header(head: bytes, tail: bytes) -> Header | None:
    """The header, or None where it is unusual, or does not end within `head`."""
    try:
        if head[:3] == b"\xff\xd8\xff":
            return _read_jpeg(head, tail)
        if head[:8] == _PNG:
            return _read_png(head, tail)
    except (struct.error, IndexError):
        pass
    return None


def _read_png(head: bytes, tail: bytes) -> Header | None:
    width, height, bits = struct.unpack(">IIB", head[16:25])
    position, orientation = 8, 1
    while position + 8 <= len(head):
        length, kind = struct.unpack(">I4s", head[position : position + 8])
        if kind == b"eXIf":
            orientation = exif_orientation(head[position + 8 : position + 8 + length])
        if kind == b"IDAT":
            return Header((height, width), orientation, bits, tail[-8:] == _PNG_END)
        position += 12 + length
    return None


def _has_all_chunks(handle: int, length: int) -> bool:
    """Tell whether the chunks of a PNG follow each other up to its end: none was cut."""
    position = len(_PNG)
    for _ in range(_MOST_CHUNKS):
        entry = os.pread(handle, 8, position)
        if len(entry) < 8:
            return False
        position += 12 + int.from_bytes(entry[:4], "big")
        if entry[4:] == b"IEND":
            return position == length
    return False


def _read_jpeg(head: bytes, tail: bytes) -> Header | None:
    position, orientation = 2, 1
    while position + 4 <= len(head):
        if head[position] != 0xFF:
            return None
        marker = head[position + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack(">H", head[position + 2 : position + 4])[0]
        if marker == 0xE1 and head[position + 4 : position + 10] == b"Exif\0\0":
            orientation = exif_orientation(head[position + 10 : position + 2 + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack(">BHH", head[position + 4 : position + 9])
            return Header((height, width), orientation, bits, tail[-2:] == b"\xff\xd9")
        if marker == 0xDA:
            return None
        position += 2 + length
    return None


def exif_orientation(block: bytes) -> int:
    """The orientation in a block of EXIF data, 1 where there is none.

    >>> exif_orientation(bytes.fromhex("49492a00080000000100120103000100000006000000"))
    6
    """
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        start = struct.unpack(order + "I", block[4:8])[0]
        count = struct.unpack(order + "H", block[start : start + 2])[0]
        for number in range(count):
            entry = block[start + 2 + 12 * number : start + 14 + 12 * number]
            tag, kind = struct.unpack(order + "HH", entry[:4])
            if tag == _ORIENTATION and kind == 3:
                value = struct.unpack(order + "H", entry[8:10])[0]
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
