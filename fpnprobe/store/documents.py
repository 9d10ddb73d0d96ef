"""JSON objects of a run folder, which another program, person or disk may have damaged."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError


class MissingDocument(FpnProbeError):
    """The file is not there."""


def read_object(path: str | Path) -> dict[str, Any]:
    """Read the JSON object in a file.

    Raises:
        MissingDocument: If there is no such file.
        FpnProbeError: If it cannot be read, or holds anything else.
    """
    file = Path(path)
    try:
        content = json.loads(file.read_bytes().decode("utf-8-sig"))  # some editors put a mark first
    except (FileNotFoundError, NotADirectoryError):
        raise MissingDocument(f"{file} is not there") from None
    except OSError as error:
        raise FpnProbeError(f"{file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise FpnProbeError(f"{file} cannot be read (no JSON: {error!s:.80})") from None
    if not isinstance(content, dict):
        raise FpnProbeError(
            f"{file} cannot be read (holds a {type(content).__name__}, expected an object)"
        )
    return content


def number_or_none(value: float) -> float | None:
    """The value, or None where it is not finite: JSON has no such number.

    >>> number_or_none(0.5), number_or_none(float("nan"))
    (0.5, None)
    """
    return value if math.isfinite(value) else None


def has_type(value: object, expected: type) -> bool:
    """Whether a value is of a type; a truth value, which Python counts among integers, is none.

    >>> has_type(1, int), has_type(True, int), has_type(True, bool)
    (True, False, True)
    """
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def drop_wrong_types(
    content: Mapping[str, Any], types: Mapping[str, type]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the content without entries of another type than expected, and their names.

    None passes for every type, and keys that `types` does not name pass as they are.

    >>> drop_wrong_types({"seed": "x", "variant": "FPN", "more": 1}, {"seed": int, "variant": str})
    ({'variant': 'FPN', 'more': 1}, ('seed',))
    """
    wrong = tuple(
        key
        for key, value in content.items()
        if value is not None and key in types and not has_type(value, types[key])
    )
    return {key: value for key, value in content.items() if key not in wrong}, wrong
