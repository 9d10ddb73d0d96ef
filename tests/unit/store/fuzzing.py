"""Mutations of files, and the law for whoever reads them: an error of ours in one line, or none."""

import json
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from fpnprobe.errors import FpnProbeError

LONGEST, SLOWEST, MOST = 1200, 10.0, 2 * 2**30  # letters of a line, seconds, bytes more than before

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 0.5, 1e308, float("nan"), float("inf"), "",
    "0", "x", "\0", "\ud800", "../../x", "/etc/passwd", "a" * 5000, "=1+1", "<img src=x>", [], {},
    [[]], [None], {"a": {}}, ["FPN", "FPN"], {"": 0},
)  # fmt: skip

Edit = tuple[float, str, bytes]
edits = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["cut", "put", "drop", "set"]), st.binary(max_size=20)
    ),
    min_size=1,
    max_size=4,
)
Change = tuple[tuple[float, ...], Any]
changes = st.lists(
    st.tuples(
        st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5).map(tuple),
        st.sampled_from(ODD),
    ),
    min_size=1,
    max_size=3,
)


def edit_bytes(content: bytes, wanted: list[Edit]) -> bytes:
    """Cut off, insert, remove or overwrite at relative places."""
    for place, kind, data in wanted:
        at = int(place * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "put":
            content = content[:at] + data + content[at:]
        elif kind == "drop":
            content = content[:at] + content[at + len(data) + 1 :]
        else:
            content = content[:at] + data + content[at + len(data) :]
    return content


def change_json(content: Any, wanted: list[Change]) -> Any:
    """Replace values at places in a tree, each told by a fraction for every level."""
    for path, value in wanted:
        content = _replace(content, path, value)
    return content


def _replace(node: Any, path: tuple[float, ...], value: Any) -> Any:
    if not path or not isinstance(node, dict | list) or not node:
        return value
    index = int(path[0] * len(node))
    if isinstance(node, dict):
        key = list(node)[index]
        return {**node, key: _replace(node[key], path[1:], value)}
    return [*node[:index], _replace(node[index], path[1:], value), *node[index + 1 :]]


def as_text(content: Any) -> str:
    """JSON, with the numbers that Python writes and JSON does not have."""
    return json.dumps(content, allow_nan=True)


def survive(action: Callable[[], object], outcomes: Counter[str]) -> None:
    """Run an action under the law, and count what came of it."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            action()
        outcomes["accepted"] += 1
    except FpnProbeError as error:
        line = str(error)
        assert error.exit_code in (2, 3)
        assert "\n" not in line, line
        assert len(line) < LONGEST, line
        outcomes["refused"] += 1
    assert time.process_time() - began < SLOWEST
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST, grown
