"""Documents in every encoding, whole and entry by entry."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpnprobe.data.annotation_file import documents
from fpnprobe.errors import FpnProbeError

plain: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('{"name": "straße 猫"}'.encode(encoding))
    assert documents.read_json(file) == {"name": "straße 猫"}
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert documents.read_json(file) == {"name": "straße 猫"}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.sampled_from(["images", "annotations", "info", "x"]), plain),
    st.integers(0, 3),
)
def test_scan_sees_what_the_parser_sees(content: dict[str, Any], indent: int) -> None:
    seen: dict[str, list[Any]] = {"images": [], "annotations": []}
    text = json.dumps(content, indent=indent or None)
    found = documents.scan(text, "x", {key: list_.append for key, list_ in seen.items()})
    expected = {
        key: len(value) if key in seen and isinstance(value, list) else value
        for key, value in content.items()
    }
    assert found == expected
    for key, entries in seen.items():
        assert entries == (content[key] if isinstance(content.get(key), list) else [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "holds a list: expected a COCO dictionary"),
        ("", "not complete JSON"),
        ('{"images": [1, 2', "is the file cut off"),
        ('{"images": [1 2]}', "Expecting ',' delimiter"),
        ('{"images": [}', "Expecting value"),
        ('{"images" [1]}', "Expecting ':' delimiter"),
        ("{3: 4}", "Expecting a property name"),
        ('{"images": []} {"more": 1}', "more than one document"),
        ('{"images": [' + "[" * 100_000, "not complete JSON"),
        ('{"images": [' + "9" * 5000 + "]}", "not complete JSON"),
    ],
)
def test_what_is_no_document(text: str, message: str) -> None:
    with pytest.raises(FpnProbeError, match=message) as caught:
        documents.scan(text, "x.json", {"images": lambda _: None})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
