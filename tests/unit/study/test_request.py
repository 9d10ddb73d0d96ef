"""A manifest repeats its cell: same key, and it says what differs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder import manifest, study_folder
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.request import differences, request


@pytest.fixture
def file(result: Output, tmp_path: Path) -> Path:
    content = manifest.begin(
        result.cell("FPN", 1),
        study=result.study,
        source=result.source,
        iterations=result.iterations,
        command="fpnprobe run-study x",
        device="cpu",
    )
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    return path


def test_the_repeated_cell_has_the_same_key(file: Path, result: Output) -> None:
    asked = request(None, manifest=file)
    again = study_folder.of(asked.study, source=result.source, out=asked.out)
    assert [(cell.variant, cell.seed) for cell in again.cells] == [("FPN", 1)]
    assert again.cells[0].key == result.cell("FPN", 1).key
    assert asked.out == Path("reports/unit-repeated")
    assert differences(asked.repeated or {}, again) == []


def test_what_differs_is_said_and_other_data_are_refused(file: Path, result: Output) -> None:
    content: dict[str, Any] = json.loads(file.read_text())
    content["versions"]["torch"] = "1.0"
    content["code"] = "old"
    found = differences(content, result)
    assert any(line.startswith("torch: 1.0 -> ") for line in found)
    assert any("code of fpnprobe: old" in line for line in found)
    other = replace(result, source=replace(result.source, root_hash="other"))
    with pytest.raises(FpnProbeError, match=r"not those of the manifest.*data\.root"):
        differences(content, other)


def test_the_data_may_lie_elsewhere(file: Path, result: Output) -> None:
    asked = request(None, manifest=file, assignments=["data.root=/elsewhere"])
    assert asked.study.data.root == "/elsewhere"
    again = study_folder.of(asked.study, source=result.source, out=asked.out)
    assert again.cells[0].key == result.cell("FPN", 1).key


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 1, "data": {}}'])
def test_what_is_not_a_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(FpnProbeError, match="not the manifest"):
        request(None, manifest=tmp_path / "m.json")


def test_a_list_that_names_nothing_is_not_everything(file: Path) -> None:
    with pytest.raises(FpnProbeError, match="--seeds ',' names none"):
        request(None, manifest=file, seeds=",")
    with pytest.raises(FpnProbeError, match="--variants ' ' names none"):
        request(None, manifest=file, variants=" ")


def test_selection_of_cells(result: Output, file: Path) -> None:
    asked = replace(request(None, manifest=file), study=result.study, variants=("DC5",))
    assert [(c.variant, c.seed) for c in asked.selected(result)] == [("DC5", 0), ("DC5", 1)]
    chosen = replace(asked, variants=(), seeds=(1,)).selected(result)
    assert [(c.variant, c.seed) for c in chosen] == [("DC5", 1), ("FPN", 1)]


def test_variants_without_commas_are_told_so_and_names_with_blanks_are_names() -> None:
    with pytest.raises(FpnProbeError, match="'DC5 FPN': expected commas between names, as DC5,FPN"):
        request(Path("quickstart"), variants="DC5 FPN")
    chosen = request(Path("uncertainty"), variants="FPN, FPN-AuxU tau=0.5").variants
    assert chosen == ("FPN", "FPN-AuxU tau=0.5")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "is not there"),
        ("[" * 100_000, "cannot be read .*recursion"),
        ("[]", "holds a list"),
        ('{"config": {}, "data": null}', "it has no config or no data"),
    ],
)
def test_what_is_no_manifest_is_one_line(text: str | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(FpnProbeError, match=rf"is not the manifest of a cell \(.*{problem}"):
        request(None, manifest=file)


def test_a_manifest_that_an_editor_marked_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert request(None, manifest=file).repeated
