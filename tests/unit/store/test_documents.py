"""JSON objects of a run folder: those that cannot be read, and entries of a wrong type."""

from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.documents import (
    MissingDocument,
    drop_wrong_types,
    read_object,
)


@pytest.mark.parametrize("value", [True, False, "0", 1.0, [0]])
def test_no_truth_value_or_text_passes_for_a_number(value: object) -> None:
    assert drop_wrong_types({"seed": value}, {"seed": int}) == ({}, ("seed",))


@pytest.mark.parametrize("value", [0, 1, None])
def test_numbers_and_none_pass_for_a_number(value: object) -> None:
    assert drop_wrong_types({"seed": value}, {"seed": int}) == ({"seed": value}, ())


def test_truth_values_pass_where_they_are_expected() -> None:
    assert drop_wrong_types({"done": True}, {"done": bool}) == ({"done": True}, ())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "cannot be read (no JSON: "),
        (b"\xff\xfe\xfa", "cannot be read (no JSON: "),
        (b"[" * 100_000, "cannot be read (no JSON: "),
        (b"[1]", "cannot be read (holds a list, expected an object)"),
        (b"null", "cannot be read (holds a NoneType, expected an object)"),
    ],
)
def test_what_is_no_object_is_one_short_line(content: bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(FpnProbeError) as caught:
        read_object(file)
    assert not isinstance(caught.value, MissingDocument)
    line = str(caught.value)
    assert line.startswith(f"{file} {told}") and "\n" not in line
    assert len(line) < len(str(file)) + 130


def test_a_mark_of_an_editor_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_object(tmp_path / "a.json") == {"a": 1}


def test_a_document_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "gone.json", tmp_path / "file" / "a.json"):
        with pytest.raises(MissingDocument, match=r"\.json is not there$"):
            read_object(path)
    with pytest.raises(FpnProbeError, match=r"cannot be read \(Is a directory\)$") as caught:
        read_object(tmp_path)
    assert not isinstance(caught.value, MissingDocument)


def test_wrong_types_are_dropped_and_named() -> None:
    content = {"seed": "x", "variant": None, "state": "done", "iterations": True, "more": 1}
    types = {"seed": int, "variant": str, "state": str, "iterations": int}
    assert drop_wrong_types(content, types) == (
        {"variant": None, "state": "done", "more": 1}, ("seed", "iterations"),
    )  # fmt: skip
