"""Ids of images and categories: what a file calls them, and the place they stand for.

Inside, an image is a place in the file, never a number of the file: ids may be text, or larger than
a double holds (9007199254740993 and 9007199254740992 are one double).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file.problems import Problems, shown

Key = int | str
_DOUBLE = 2**53  # whole numbers below are exact in every format that results are written in


def key_of(value: Any) -> Key | None:
    """An id as a whole number or text, None for anything else.

    A whole number written as 3.0 is 3; true is no number.

    >>> key_of("a"), key_of(3.0), key_of(True), key_of(1.5), key_of(2.0 ** 53)
    ('a', 3, None, None, None)
    """
    if type(value) is int or type(value) is str:
        return value
    if type(value) is float and value.is_integer() and abs(value) < _DOUBLE:
        return int(value)
    if isinstance(value, np.integer):
        return int(value)
    return None


@dataclass(frozen=True, slots=True)
class Keys:
    """The ids of a file's images or categories, in its order.

    >>> keys = Keys(("frame 1", "frame 2"))
    >>> keys.numbers.tolist(), keys.places(["frame 2", "frame 9"]).tolist()
    ([1, 2], [1, -1])
    """

    values: tuple[Key, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def plain(self) -> bool:
        """Whether all are whole numbers that any program reads exactly."""
        return all(type(key) is int and abs(key) < _DOUBLE for key in self.values)

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """The ids that results use: those of the file where they are plain, else 1, 2, 3, ..."""
        if self.plain:
            return np.array(self.values, dtype=np.int64)
        return np.arange(1, len(self.values) + 1, dtype=np.int64)

    def places(self, keys: Sequence[Any]) -> npt.NDArray[np.int64]:
        """The place of each id, -1 for one that is not there."""
        index_of = {key: i for i, key in enumerate(self.values)}
        return np.fromiter((index_of.get(key, -1) for key in keys), np.int64, len(keys))

    def order(self) -> list[int]:
        """Places by rising id; of ids that are not all numbers, the order of the file."""
        values = self.values
        if all(type(key) is int for key in values):
            return sorted(range(len(values)), key=lambda i: values[i])
        return list(range(len(values)))


def note_strangers(
    problems: Problems,
    places: npt.NDArray[np.int64],
    key: str,
    values: Sequence[Any],
    keys: Keys,
    name_of: Callable[[int], str],
) -> None:
    """Note the entries that point to an image or category that is not there.

    Args:
        problems: Where they are noted.
        places: What each entry points to, -1 for nothing.
        key: "image_id" or "category_id".
        values: What each entry says.
        keys: The ids that are there.
        name_of: An entry for the message.
    """
    strange = np.flatnonzero(places < 0)
    if not len(strange):
        return
    row = int(strange[0])
    noun, value = key.removesuffix("_id"), values[row]
    other = str(value) if isinstance(value, int) else _number(value)
    fix = f"add the {noun}, or remove them"
    if other is not None and other in keys.values:
        kinds = ("a number", "text") if isinstance(value, int) else ("text", "a number")
        fix = f"here it is {kinds[0]} and the {noun}'s own id is {kinds[1]}: write both alike"
    example = f"{name_of(row)}, {key} {shown(value)}"
    problems.add(f"point to no {noun}", example, fix, count=len(strange))


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
