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
        FpnProbeError: If the file is missing, unreadable, cut off, or no text.
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
        FpnProbeError: See `read_text`; and if it is not JSON.
    """
    text = read_text(path)
    with _one_line(str(path)):
        return json.loads(text)


def scan(text: str, file_name: str, take: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
    """Read a JSON object whose lists named in `take` are handed over entry by entry.

    The other keys are returned; a list that was handed over appears there with its length, and
    what is no list appears as it is.

    Args:
        text: The document.
        file_name: Its name in errors.
        take: What is done with each entry of a list.

    Raises:
        FpnProbeError: If it is not JSON, or no object.

    >>> seen = []
    >>> scan('{"images": [1, 2], "info": {"year": 2017}}', "x.json", {"images": seen.append})
    {'images': 2, 'info': {'year': 2017}}
    >>> seen
    [1, 2]
    """
    with _one_line(file_name):
        start = _after_space(text, 0)
        if text[start : start + 1] != "{":
            value, end = _DECODER.raw_decode(text, start)
            _check_end(text, end)
            raise FpnProbeError(
                f"{file_name} holds a {type(value).__name__}: expected a COCO dictionary with the "
                "lists 'images', 'annotations' and 'categories'"
            )
        document: dict[str, Any] = {}
        position = _after_space(text, start + 1)
        while text[position : position + 1] != "}":
            key, position = _DECODER.raw_decode(text, position)
            if not isinstance(key, str):
                raise json.JSONDecodeError("Expecting a property name", text, position)
            position = _passed(text, position, ":")
            if key in take and text[position : position + 1] == "[":
                document[key], position = _entries(text, position, take[key])
            else:
                document[key], position = _DECODER.raw_decode(text, position)
            position = _after_space(text, position)
            if text[position : position + 1] != "}":
                position = _passed(text, position, ",")
        _check_end(text, position + 1)
        return document


def _entries(text: str, position: int, take: Callable[[Any], None]) -> tuple[int, int]:
    """Hand over each entry of the list that begins at `position`; return number and end."""
    decode, space = _SCAN_ONCE, _SPACE.match
    position = _after_space(text, position + 1)
    if text[position : position + 1] == "]":
        return 0, position + 1
    count = 0
    while True:
        try:
            value, position = decode(text, position)
        except StopIteration as error:
            raise json.JSONDecodeError("Expecting value", text, error.value) from None
        take(value)
        count += 1
        position = space(text, position).end()  # type: ignore[union-attr] # matches ""
        mark = text[position : position + 1]
        if mark == "]":
            return count, position + 1
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
        position = space(text, position + 1).end()  # type: ignore[union-attr]


def _passed(text: str, position: int, mark: str) -> int:
    """The place of what follows `mark`."""
    position = _after_space(text, position)
    if text[position : position + 1] != mark:
        raise json.JSONDecodeError(f"Expecting '{mark}' delimiter", text, position)
    return _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # it matches nothing as well
    return match.end()


def _check_end(text: str, position: int) -> None:
    if _after_space(text, position) != len(text):
        raise json.JSONDecodeError("Extra data", text, position)


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
def _one_line(file_name: str) -> Iterator[None]:
    """Whatever the parser raises inside becomes one line about `file_name`."""
    try:
        yield
    except (ValueError, RecursionError, MemoryError) as error:
        fix = "is the file cut off? copy it again"
        if "Extra data" in str(error):
            fix = "it holds more than one document: join them into one list"
        elif str(error).startswith("Expecting value: line 1 column 1 "):
            fix = "it does not begin as JSON: is it a web page, or of another format?"
        message = " ".join(str(error).split())[:120] or type(error).__name__
        raise FpnProbeError(f"{file_name} is not complete JSON ({message}): {fix}") from error
