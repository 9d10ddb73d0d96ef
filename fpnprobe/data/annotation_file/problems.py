"""Counts what is wrong in a file: one line names the first entry and how many there are."""

from dataclasses import dataclass, field
from typing import Any

from fpnprobe.errors import FpnProbeError

_LONGEST = 60  # characters of a value in a message


@dataclass(slots=True)
class Problems:
    """Counts what is wrong with the entries of one list of a file.

    Attributes:
        file_name: Name of the file.
        list_name: Name of the list.
    """

    file_name: str
    list_name: str
    _counts: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, problem: str, example: str, fix: str, *, count: int = 1) -> None:
        """Note entries: what is wrong, the first of them and its value, the remedy, how many."""
        counted = self._counts.setdefault(problem, [0, example, fix])
        counted[0] += count

    def refuse(self, total: int) -> None:
        """Raise about what was noted first.

        Raises:
            FpnProbeError: If anything was.
        """
        for problem, (count, example, fix) in self._counts.items():
            raise FpnProbeError(
                f"{self.file_name}: {count} of {total} {self.list_name} {problem} (first: "
                f"{example}); {fix}"
            )


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was left out or changed, with a count and the first example.

    Attributes:
        sentence: "boxes stick out of their image and were clipped", and the like.
        count: Number of entries.
        total: Of how many.
        noun: What is counted, in the plural.
        example: The first entry.
    """

    sentence: str
    count: int
    total: int
    noun: str
    example: str

    def line(self) -> str:
        """For a person.

        >>> Notice("have no extent and are left out", 2, 9, "annotations", "annotation 7").line()
        '2 of 9 annotations have no extent and are left out (first: annotation 7)'
        """
        return f"{self.count} of {self.total} {self.noun} {self.sentence} (first: {self.example})"


def shown(value: Any) -> str:
    """A value for a message, cut where it is long.

    >>> shown("x" * 100)[-8:], shown(10 ** 400)[:12]
    ("xxxx...'", '100000000000')
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number of thousands of digits"
    text = text.encode("ascii", "backslashreplace").decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]}...{text[-1]}"
