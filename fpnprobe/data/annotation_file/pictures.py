"""The lists `images` and `categories` of an annotation file, typed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file.identity import Key, Keys, key_of
from fpnprobe.data.annotation_file.problems import Problems, shown

LARGEST_SIDE = 2**20  # px; OpenCV decodes no larger one

_ID_FIX = "expected a whole number or text"


class ImageColumns:
    """Collects the images of a file."""

    def __init__(self, file_name: str) -> None:
        self._problems = Problems(file_name, "images")
        self._keys: list[Key] = []
        self._names: list[str] = []
        self._sizes: list[int] = []

    def add(self, entry: Any) -> None:
        """Take the next entry."""
        entry = _take_entry(self._problems, self._keys, entry)
        name = entry.get("file_name")
        if name is not None and (problem := _name_problem(name)):
            self._problems.add(
                f"have a file_name that {problem}",
                f"image {shown(entry.get('id'))}, {shown(name)}",
                "expected a name inside the folder of the images, without '..'",
            )
            name = None
        self._names.append("" if name is None else name.replace("\\", "/"))
        for side in ("height", "width"):
            self._sizes.append(self._side(entry, side))

    def _side(self, entry: dict[str, Any], side: str) -> int:
        value = entry.get(side)
        if value is None:
            return 0
        if type(value) is float and value.is_integer():
            value = int(value) if abs(value) <= LARGEST_SIDE else LARGEST_SIDE + 1
        if type(value) is not int or not 0 < value <= LARGEST_SIDE:
            self._problems.add(
                f"have a {side} that is no number of pixels",
                f"image {shown(entry.get('id'))}, {side} {shown(entry[side])}",
                f"expected a whole number from 1 to {LARGEST_SIDE}",
            )
            return 1
        return value

    def finish(self) -> tuple[Keys, tuple[str, ...], npt.NDArray[np.int64]]:
        """Ids, file names and sizes (height, width).

        Raises:
            FpnProbeError: About the first bad entry.
        """
        _note_repeated(self._problems, self._keys)
        self._problems.refuse(len(self._keys))
        sizes = np.array(self._sizes, dtype=np.int64).reshape(-1, 2)
        return Keys(tuple(self._keys)), tuple(self._names), sizes


_LONGEST_NAME = 255  # bytes of a file or folder name; asking for a longer one is an OSError


class CategoryColumns:
    """Collects the categories of a file."""

    def __init__(self, file_name: str) -> None:
        self._problems = Problems(file_name, "categories")
        self._keys: list[Key] = []
        self._names: list[str] = []

    def add(self, entry: Any) -> None:
        """Take the next entry."""
        entry = _take_entry(self._problems, self._keys, entry)
        name = entry.get("name", "")
        if type(name) in (int, float):
            name = shown(name)
        if type(name) is not str or not name.isprintable():
            self._problems.add(
                "have a name that is no line of text",
                f"category {shown(entry.get('id'))}, name {shown(name)}",
                "give each a name",
            )
            name = ""
        self._names.append(name)

    def finish(self) -> tuple[Keys, tuple[str, ...]]:
        """Ids and names.

        Raises:
            FpnProbeError: About the first bad entry.
        """
        _note_repeated(self._problems, self._keys)
        self._problems.refuse(len(self._keys))
        return Keys(tuple(self._keys)), tuple(self._names)


def _take_entry(problems: Problems, keys: list[Key], entry: Any) -> dict[str, Any]:
    """Append the id of an entry to `keys`; what is no object counts as one with an id alone."""
    number = len(keys)
    if type(entry) is not dict:
        problems.add("are no objects", f"number {number}, {shown(entry)}", "see COCO")
        entry = {"id": -number}
    keys.append(_key(problems, entry, number))
    plain: dict[str, Any] = entry
    return plain


def _key(problems: Problems, entry: dict[str, Any], number: int) -> Key:
    if "id" not in entry:
        problems.add("have no 'id'", f"number {number}", _ID_FIX)
        return f"\0{number}"
    key = key_of(entry["id"])
    if key is None:
        problems.add(
            "have an id of another type", f"number {number}, {shown(entry['id'])}", _ID_FIX
        )
        return f"\0{number}"
    return key


def _note_repeated(problems: Problems, keys: list[Key]) -> None:
    if len(set(keys)) == len(keys):
        return
    known_keys: set[Key] = set()
    for key in keys:
        if key in known_keys:
            problems.add("repeat an id", f"id {shown(key)}", "give each its own")
        known_keys.add(key)


def _name_problem(name: Any) -> str | None:
    """Say what is wrong with a file name; None where nothing is."""
    if type(name) is not str or not name:
        return "is no text"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is no Unicode text"
    if not name.isprintable() and any(ord(char) < 32 for char in name):
        return "holds control characters"
    plain = name.replace("\\", "/")
    if (
        any(len(segment.encode()) > _LONGEST_NAME for segment in plain.split("/"))
        or len(plain) > 4000
    ):
        return f"is longer than a file system takes ({_LONGEST_NAME} bytes)"
    if plain.startswith("/") or plain[1:2] == ":" or "://" in plain:
        return "is no name inside the folder of the images"
    return "leaves the folder of the images" if ".." in plain.split("/") else None
