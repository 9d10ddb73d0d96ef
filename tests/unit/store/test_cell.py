"""What a cell says of itself: its manifest's words, with defaults where there are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store import State, StoredCell
from fpnprobe.store.digests import digest_folder

TINY = [["tiny", 0.0, 256.0], ["rest", 256.0, None]]
OTHER = [["any", 0.0, None]]


def cell(folder: Path, **manifest: Any) -> StoredCell:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return StoredCell.read(folder)


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        ({}, [bucket.name for bucket in COCO_BUCKETS]),
        ({"config": {"buckets": TINY}}, ["tiny", "rest"]),
        ({"buckets": TINY}, ["tiny", "rest"]),  # a run that no study trained
        ({"config": {"buckets": TINY}, "buckets": OTHER}, ["tiny", "rest"]),
        ({"config": {"buckets": []}, "buckets": OTHER}, ["any"]),
    ],
)
def test_buckets(manifest: dict[str, Any], names: list[str], tmp_path: Path) -> None:
    assert [bucket.name for bucket in cell(tmp_path, **manifest).buckets] == names


def test_what_a_manifest_says_and_what_it_does_not(tmp_path: Path) -> None:
    told = cell(tmp_path / "a", config={"name": "q"}, classes=["cat", 7], variant="FPN", seed=3)
    assert (told.config, told.classes, told.title) == ({"name": "q"}, ("cat", "7"), "FPN seed 3")
    silent = cell(tmp_path / "fpn" / "seed-2")
    assert (silent.config, silent.classes, silent.title) == ({}, (), "fpn seed 2")


def test_the_study_names_a_cell_first_then_its_manifest_then_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "fpn" / "seed-1"
    cell(folder, variant="FPN", seed=4)
    assert StoredCell.read(folder).title == "FPN seed 4"
    assert StoredCell.read(folder, variant="Mine", seed=5).title == "Mine seed 5"
    assert StoredCell.read(folder).study_folder == tmp_path


def test_a_folder_of_many_digits_gives_a_seed_that_fits(tmp_path: Path) -> None:
    folder = tmp_path / ("seed-" + "123456789" * 4)
    assert cell(folder).seed == 123456789123456789


@pytest.mark.parametrize(
    ("state", "belongs"),
    [
        (State.DONE, True), (State.FAILED, True), (State.RUNNING, True), (State.PENDING, True),
        (State.INTERRUPTED, True), (State.STALE, False), (State.DAMAGED, False),
    ],
)  # fmt: skip
def test_stale_and_damaged_cells_are_not_the_study_s(
    state: State, belongs: bool, tmp_path: Path
) -> None:
    read = StoredCell(folder=tmp_path, variant="FPN", seed=0, manifest={}, state=state, reason="")
    assert read.belongs_to_study is belongs


def test_damage_of_a_finished_cell_by_file(tmp_path: Path) -> None:
    for name in ("ledger.parquet", "training.parquet"):
        (tmp_path / name).write_text(name)
    digests = digest_folder(tmp_path)
    done = cell(tmp_path, state="done", files=digests)
    assert done.find_damage() == {}
    (tmp_path / "ledger.parquet").write_text("another")
    (tmp_path / "training.parquet").unlink()
    assert done.find_damage() == {"ledger.parquet": "changed", "training.parquet": "missing"}
    assert done.find_damage("training.parquet") == {"training.parquet": "missing"}
    assert cell(tmp_path, state="running", files=digests).find_damage() == {}
    assert cell(tmp_path, state="done").find_damage() == {}, "a version that wrote no digests"


@pytest.mark.parametrize("name", [None, "", "a\0b"])
def test_a_manifest_that_names_no_annotation_file(name: str | None, tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="has no 'annotations': is it damaged"):
        _ = cell(tmp_path, annotations=name).annotations


def test_only_results_make_a_folder_without_manifest_a_damaged_cell(tmp_path: Path) -> None:
    for name in ("lock", "log.txt", "progress.json", ".hidden"):
        (tmp_path / name).write_text("")
    assert StoredCell.read(tmp_path).state is State.PENDING
    (tmp_path / "deep").mkdir()
    assert StoredCell.read(tmp_path).state is State.PENDING
    (tmp_path / "deep" / "ledger.parquet").write_text("")
    assert StoredCell.read(tmp_path).state is State.DAMAGED


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        ({"category_ids": [3, 18]}, {3: "cat", 18: "dog"}),
        (
            {"category_ids": [3, 18], "config": {"data": {"scenes": {"train": 8}}}},
            {3: "cat", 18: "dog"},
        ),
        ({"config": {"data": {"scenes": {"train": 8}}}}, {1: "cat", 2: "dog"}),
        ({"config": {"data": {"root": "coco"}}}, {}),
        ({"category_ids": [None, 18]}, {18: "dog"}),
    ],
)
def test_names_of_detections_go_by_category_id(
    manifest: dict[str, Any], names: dict[int, str], tmp_path: Path
) -> None:
    assert cell(tmp_path, classes=["cat", "dog"], **manifest).class_names == names
