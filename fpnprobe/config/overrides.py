"""`--set a.b=c`: a dotted key of the study file and a typed value."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fpnprobe.config.key_table import study_keys
from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest

_FREE = ("detector", "data.scenes", "resources.slurm")  # their inner keys are not ours to know
_LIST_OR_NUMBER = "data.limits.classes"


def keys() -> list[str]:
    """Name every dotted key that a study has.

    >>> "schedule.iterations" in keys()
    True
    """
    return [key.name for key in study_keys()]


def keys_and_sections() -> tuple[str, ...]:
    """Every dotted key that a study has, and the sections that hold them.

    >>> {"schedule", "data.limits"} <= set(keys_and_sections())
    True
    """
    inner = tuple(keys())
    parents = [key.rsplit(".", depth)[0] for key in inner for depth in range(1, key.count(".") + 1)]
    return tuple(dict.fromkeys((*inner, *parents)))


def value(text: str, *, as_list: bool = False) -> Any:
    """The Python value that a text means: JSON or a Python literal, else the text itself.

    >>> value("3"), value("true"), value("None"), value("../x"), value("0,1", as_list=True)
    (3, True, None, '../x', [0, 1])
    """
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(parsed, tuple):
            return list(parsed)
        return [parsed] if as_list and not isinstance(parsed, list) else parsed
    if as_list:
        return [value(item.strip()) for item in text.split(",") if item.strip()]
    return text


def parse(assignments: Sequence[str]) -> dict[str, Any]:
    """`["a.b=c"]` as a dictionary from dotted key to value.

    Raises:
        FpnProbeError: For a key that a study does not have, with the nearest keys, or without "=".
    """
    known_keys, values = ["preset", *keys_and_sections()], {}
    lists = {key.name for key in study_keys() if key.is_list}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            raise FpnProbeError(f"--set {assignment!r}: expected key=value, as schedule.batch=8")
        free = any(key.startswith(f"{prefix}.") for prefix in _FREE)
        if key not in known_keys and not free:
            raise FpnProbeError(
                f"--set {key:.60}: a study has no such key, {suggest(key, known_keys)}"
            )
        listed = key == _LIST_OR_NUMBER and not text.strip().isdigit()  # names, not how many
        values[key] = value(text, as_list=listed or key in lists)
    return values


def apply(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a study's content with the values at the dotted keys replaced.

    `data.root` given here wins over the generated scenes of the study, `schedule.iterations` over
    its `epochs`, and the other way round.

    >>> apply({"schedule": {"epochs": 1}}, {"schedule.iterations": 5})
    {'schedule': {'iterations': 5}}
    """
    result = dict(content)
    for key, new in overrides.items():
        node = result
        *path, last = key.split(".")
        for name in path:
            inner = node.get(name)
            node[name] = dict(inner) if isinstance(inner, Mapping) else {}
            node = node[name]
        node[last] = new
        rival = {
            "data.root": "scenes",
            "data.scenes": "root",
            "schedule.iterations": "epochs",
            "schedule.epochs": "iterations",
        }.get(key)
        if rival is not None and new is not None:
            node.pop(rival, None)
    return result
