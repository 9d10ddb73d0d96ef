"""JSON documents from disk, plain or gzipped, whole or entry by entry, with errors to act on.

A large COCO file holds tens of millions of numbers. As Python objects they take six times its
length, so `scan` hands the entries of a list over one at a time, and none outlives its turn.
"""

import contextlib
import json
import mmap
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError

_LARGEST = 8 * 2**30  # bytes of text; a small archive can unpack to more than any machine has
_GZIP = b"\x1f\x8b"
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
# the parser of one value at a place, without the search for white space around it
_SCAN_ONCE: Callable[[str, int], tuple[Any, int]] = vars(_DECODER)["scan_once"]


def read_text(path: str | Path) -> str:
    """Text of a file, unpacked and decoded: UTF-8 with or without byte order mark, UTF-16, UTF-32.

    Raises:
        FpnProbeError: if the file is missing, unreadable, cut off, or no text.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            if file.read(2) == _GZIP:
                return _decoded(_unpacked(source), source)
        if not source.stat().st_size:
            raise FpnProbeError(f"{source} is empty: expected a COCO JSON file; copy it again")
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            return _decoded(raw, source)
    except OSError as error:
        raise FpnProbeError(
            f"cannot read {source}: {error.strerror}; give the path of a COCO JSON file"
        ) from error
    except (zlib.error, EOFError) as error:
        raise FpnProbeError(f"{source} is not complete: {error}; is it cut off? copy it") from error
    except MemoryError as error:
        raise FpnProbeError(f"{source} is larger than the memory that is free") from error


def read_json(path: str | Path) -> Any:
    """Content of a `.json` or `.json.gz` file.

    Raises:
        FpnProbeError: see `read_text`; and if it is not JSON.
    """
    text = read_text(path)
    with _one_line(str(path)):
        return json.loads(text)


def scan(text: str, where: str, take: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
    """Read a JSON object whose lists named in `take` are handed over entry by entry.

    The other keys are returned; a list that was handed over appears there with its length, and
    what is no list appears as it is.

    Args:
        text: the document.
        where: its name in errors.
        take: what is done with each entry of a list.

    Raises:
        FpnProbeError: if it is not JSON, or no object.

    >>> seen = []
    >>> scan('{"images": [1, 2], "info": {"year": 2017}}', "x.json", {"images": seen.append})
    {'images': 2, 'info': {'year': 2017}}
    >>> seen
    [1, 2]
    """
    with _one_line(where):
        start = _after_space(text, 0)
        if text[start : start + 1] != "{":
            value, end = _DECODER.raw_decode(text, start)
            _check_end(text, end)
            raise FpnProbeError(
                f"{where} holds a {type(value).__name__}: expected a COCO dictionary with the "
                "lists 'images', 'annotations' and 'categories'"
            )
        found: dict[str, Any] = {}
        place = _after_space(text, start + 1)
        while text[place : place + 1] != "}":
            key, place = _DECODER.raw_decode(text, place)
            if not isinstance(key, str):
                raise json.JSONDecodeError("Expecting a property name", text, place)
            place = _passed(text, place, ":")
            if key in take and text[place : place + 1] == "[":
                found[key], place = _entries(text, place, take[key])
            else:
                found[key], place = _DECODER.raw_decode(text, place)
            place = _after_space(text, place)
            if text[place : place + 1] != "}":
                place = _passed(text, place, ",")
        _check_end(text, place + 1)
        return found


def _entries(text: str, place: int, take: Callable[[Any], None]) -> tuple[int, int]:
    """Hand over each entry of the list that begins at `place`; their number, and the list's end."""
    decode, space = _SCAN_ONCE, _SPACE.match
    place = _after_space(text, place + 1)
    if text[place : place + 1] == "]":
        return 0, place + 1
    count = 0
    while True:
        try:
            value, place = decode(text, place)
        except StopIteration as error:
            raise json.JSONDecodeError("Expecting value", text, error.value) from None
        take(value)
        count += 1
        place = space(text, place).end()  # type: ignore[union-attr] # it matches nothing as well
        mark = text[place : place + 1]
        if mark == "]":
            return count, place + 1
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        place = space(text, place + 1).end()  # type: ignore[union-attr]


def _passed(text: str, place: int, mark: str) -> int:
    """The place of what follows `mark`."""
    place = _after_space(text, place)
    if text[place : place + 1] != mark:
        raise json.JSONDecodeError(f"Expecting '{mark}' delimiter", text, place)
    return _after_space(text, place + 1)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None  # it matches nothing as well
    return match.end()


def _check_end(text: str, place: int) -> None:
    if _after_space(text, place) != len(text):
        raise json.JSONDecodeError("Extra data", text, place)


def _unpacked(source: Path) -> bytes:
    unpack = zlib.decompressobj(wbits=31)
    whole = unpack.decompress(source.read_bytes(), _LARGEST)
    if unpack.unconsumed_tail:
        raise FpnProbeError(f"{source} unpacks to more than 8 GiB: expected a COCO JSON file")
    if not unpack.eof:
        raise EOFError("the gzip archive ends too early")
    return whole


def _decoded(raw: bytes | mmap.mmap, source: Path) -> str:
    encoding = json.detect_encoding(raw[:4])
    try:
        return str(raw, encoding, "surrogatepass")
    except UnicodeDecodeError as error:
        raise FpnProbeError(
            f"{source} is not text in {encoding} (byte {error.start}): expected a COCO JSON file; "
            "save it as UTF-8"
        ) from error


@contextlib.contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Whatever the parser raises inside becomes one line about `where`."""
    try:
        yield
    except (ValueError, RecursionError, MemoryError) as error:
        fix = "is the file cut off? copy it again"
        if "Extra data" in str(error):
            fix = "it holds more than one document: join them into one list"
        elif str(error).startswith("Expecting value: line 1 column 1 "):
            fix = "it does not begin as JSON: is it a web page, or of another format?"
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise FpnProbeError(f"{where} is not complete JSON ({said}): {fix}") from error
