"""One answer to "is this cell of this study's settings?", for every reader."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.report.tables.read_studies import read as read_report
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store import State, StoredCell, StoredStudy, locks
from fpnprobe.store.runs import find_runs, read_run
from fpnprobe.store.study import read_cell
from fpnprobe.study.snapshot import status

MANIFEST = {"config": {"buckets": []}, "data": {}, "annotations": "val.json", "classes": ["x"]}


def write(folder: Path, keys: dict[tuple[str, int], str], **more: Any) -> Path:
    """A study whose cells have these keys, all done."""
    named = [{"variant": v, "seed": s, "key": "ab12"} for v, s in keys]
    content = {"name": "q", "variants": [v for v, _ in keys], "seeds": [0], "cells": named}
    folder.mkdir(exist_ok=True)
    (folder / "study.json").write_text(json.dumps(content | more))
    for (variant, seed), key in keys.items():
        place = folder / "cells" / variant.lower() / f"seed-{seed}"
        place.mkdir(parents=True)
        manifest = MANIFEST | {"variant": variant, "seed": seed, "key": key, "state": "done"}
        (place / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """DC5 is done, FPN is of other settings."""
    return write(tmp_path / "q", {("DC5", 0): "ab12", ("FPN", 0): "cd34"})


def test_every_reader_gives_the_same_answer(stale: Path) -> None:
    same = [("DC5", "done"), ("FPN", "stale")]
    assert [(cell.variant, cell.state) for cell in StoredStudy.read(stale).cells] == same
    assert [(cell.variant, cell.state) for cell in fpnprobe.open(stale).cells] == same
    assert [(cell.variant, cell.state) for cell in read_report([stale]).cells] == same
    assert [cell.variant for cell in read_study(stale).cells] == ["DC5"]
    assert read_cell(stale / "cells/fpn/seed-0").state is State.STALE


def test_an_opened_study_leaves_stale_tables_out(stale: Path) -> None:
    for variant in ("dc5", "fpn"):
        frame = pd.DataFrame({"variant": [variant.upper()], "metric": ["AP"], "value": [0.1]})
        frame.assign(seed=0).to_parquet(stale / "cells" / variant / "seed-0/evaluation.parquet")
    assert fpnprobe.open(stale).evaluation["variant"].tolist() == ["DC5"]
    alone = fpnprobe.open(stale / "cells/fpn/seed-0")
    assert "1 stale" in repr(alone)
    assert alone.evaluation["variant"].tolist() == ["FPN"], "asked for by its own folder"


def test_a_cell_that_the_study_lost_is_stale(stale: Path) -> None:
    content = json.loads((stale / "study.json").read_text())
    content["cells"] = content["cells"][:1]
    (stale / "study.json").write_text(json.dumps(content | {"variants": ["DC5"]}))
    gone = StoredStudy.read(stale).cells[1]
    assert (gone.variant, gone.state) == ("FPN", "stale")
    assert "not a cell of the study any more" in gone.reason


@pytest.mark.parametrize(
    ("change", "outdated"),
    [
        ("none", ()),
        ("another key", ("FPN seed 0",)),
        ("no manifest", ("FPN seed 0",)),  # to be trained anew
        ("no key", ()),  # of a version that wrote none
        ("not in evidence", ()),
    ],
)
def test_evidence_is_outdated_by_cells_that_were_trained_anew(
    change: str, outdated: tuple[str, ...], tmp_path: Path
) -> None:
    folder = write(tmp_path / "run", {("DC5", 0): "ab12", ("FPN", 0): "ab12"})
    (folder / "evidence").mkdir()
    keys = {"DC5 seed 0": "ab12", "FPN seed 0": "ab12"}
    manifest = folder / "cells" / "fpn" / "seed-0" / "manifest.json"
    if change == "another key":
        keys["FPN seed 0"] = "cd34"
    elif change == "no manifest":
        manifest.unlink()
        manifest.parent.rmdir()
    elif change == "no key":
        content = json.loads(manifest.read_text())
        del content["key"]
        manifest.write_text(json.dumps(content))
    elif change == "not in evidence":
        del keys["FPN seed 0"]
    (folder / "evidence" / "cells.json").write_text(json.dumps(keys))
    (folder / "evidence" / "comparison.parquet").touch()
    study = StoredStudy.read(folder)
    assert study.outdated_evidence == outdated
    assert list(study.evidence_files) == ([] if outdated else ["comparison"])


def test_a_lost_cell_of_no_variant_has_that_of_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", {("FPN-AuxU", 0): "a"}, variants=["FPN-AuxU"])
    lost = folder / "cells" / "fpn-auxu" / "seed-7"
    lost.mkdir()
    (lost / "manifest.json").write_text(json.dumps({"state": "done", "seed": 7}))
    assert [(c.variant, c.seed) for c in StoredStudy.read(folder).cells] == [
        ("FPN-AuxU", 0), ("FPN-AuxU", 7),
    ]  # fmt: skip


def test_a_cell_without_its_study_is_what_its_manifest_says(stale: Path, tmp_path: Path) -> None:
    moved = (stale / "cells/fpn/seed-0").rename(tmp_path / "cell")
    assert read_cell(moved).state is State.DONE


@pytest.mark.parametrize(
    ("stored", "state"),
    [("done", "done"), ("failed", "failed"), ("running", "interrupted"), ("?", "interrupted")],
)
def test_states_of_a_manifest(stored: str, state: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"state": stored, "reason": "a\nb"}))
    cell = StoredCell.read(tmp_path)
    assert (cell.state, cell.reason) == (state, "a b")


@pytest.mark.parametrize(
    ("folder", "stored", "given", "seed"),
    [
        ("seed-3", None, None, 3),
        ("run", None, None, 0),  # no digits
        ("seed-²", None, None, 0),  # a digit that is no number
        ("seed-3", 5, None, 5),  # the manifest knows better
        ("seed-3", 0, None, 0),
        ("seed-3", 5, 0, 0),  # and the study best
    ],
)
def test_the_seed_of_a_cell(
    folder: str, stored: int | None, given: int | None, seed: int, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "manifest.json").write_text(json.dumps({"seed": stored}))
    assert StoredCell.read(tmp_path / folder, seed=given).seed == seed


def test_the_files_of_a_cell_lie_in_its_folder(tmp_path: Path) -> None:
    cell = StoredCell.read(write(tmp_path / "run", {("FPN", 0): "a"}) / "cells" / "fpn" / "seed-0")
    files = ("detections", "evaluation", "training", "attribution", "features", "checkpoints")
    assert [getattr(cell, name).relative_to(cell.folder).as_posix() for name in files] == [
        "detections.json.gz", "evaluation.parquet", "training.parquet", "attribution.parquet",
        "features", "checkpoints",
    ]  # fmt: skip


def test_the_images_of_a_cell_lie_where_its_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"data": {"root": "/somewhere/coco"}}))
    assert StoredCell.read(tmp_path).data_root == Path("/somewhere/coco")


@pytest.mark.parametrize("data", [{}, {"root": 3}, {"root": None}, {"root": "a\0b"}])
def test_a_cell_that_does_not_say_where_its_images_are(
    data: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"data": data}))
    with pytest.raises(FpnProbeError, match="does not say where its images are"):
        _ = StoredCell.read(tmp_path).data_root


@pytest.mark.parametrize("file", ["", None, "a\0b"])
def test_a_cell_that_does_not_say_what_it_was_evaluated_on(
    file: str | None, tmp_path: Path
) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"annotations": file}))
    with pytest.raises(FpnProbeError, match="annotations"):
        _ = StoredCell.read(tmp_path).annotations


def test_a_cell_in_work_is_running(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"state": "running"}')
    with locks.held(tmp_path / "lock"):
        assert StoredCell.read(tmp_path).state is State.RUNNING
        assert StoredCell.read(tmp_path, lock_is_ours=True).state is State.INTERRUPTED
    assert StoredCell.read(tmp_path).state is State.INTERRUPTED


DAMAGE: dict[str, bytes] = {
    "truncated": b'{"key": "ab',
    "empty": b"",
    "list": b"[1]",
    "zeros": bytes(100),
    "merge conflict": b"<<<<<<< HEAD\n{}\n",
    "not text": b"\xff\xfe\x00",
    "deep": b'{"a":' * 100_000,
    "wrong type": b'{"config": 3, "state": "done"}',
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_manifest_is_a_state_of_its_own(kind: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(DAMAGE[kind])
    cell = StoredCell.read(tmp_path, variant="FPN", seed=1)
    assert cell.state is State.DAMAGED
    assert "manifest.json" in cell.reason
    assert "\n" not in cell.reason
    assert len(cell.reason) < 300


def test_results_without_a_manifest_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("begun")
    assert StoredCell.read(tmp_path).state is State.PENDING
    (tmp_path / "ledger.parquet").write_text("?")
    assert StoredCell.read(tmp_path).state is State.DAMAGED


def test_a_mark_of_an_editor_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b'\xef\xbb\xbf{"state": "done"}')
    assert StoredCell.read(tmp_path).state is State.DONE


def damaged_studies() -> Iterator[dict[str, Any]]:
    cell = {"variant": "DC5", "seed": 0, "key": "ab12"}
    values: dict[str, tuple[Any, ...]] = {
        "cells": (
            [{}],
            [3],
            3,
            {"a": 1},
            *(
                [cell | change]
                for change in (
                    {"seed": "x"},
                    {"seed": [0]},
                    {"key": "../../x"},
                    {"variant": 3},
                )
            ),
        ),
        "variants": (3, [3], [{}]),
        "buckets": (3, [3], [["a"]], [["a", 0, "x"]]),
        "seeds": (3, ["x"]),
        "name": (3,),
        "evaluation": ([], {"iou_type": True}, {"iou_type": [3]}, {"iou_type": "x"}),
    }
    for key, wrong in values.items():
        for value in wrong:
            yield {key: value}


@pytest.mark.parametrize("change", list(damaged_studies()), ids=str)
def test_a_damaged_study_is_a_hole_or_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "q", {("DC5", 0): "ab12"}, **change)
    stored = StoredStudy.read(folder)
    assert "study.json" in stored.problems[0]
    assert stored.buckets == COCO_BUCKETS
    assert any("study.json" in hole for hole in read_report([folder]).holes)
    fpnprobe.open(folder)
    with pytest.raises(FpnProbeError, match=r"study\.json is damaged") as caught:
        StoredStudy.read(folder, strict=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "null"])
def test_an_unreadable_study_json(text: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "q", {("DC5", 0): "ab12"})
    (folder / "study.json").write_text(text)
    stored = StoredStudy.read(folder)
    assert [cell.state for cell in stored.cells] == ["done"]
    assert "cannot be read" in stored.problems[0]
    with pytest.raises(FpnProbeError, match="cannot be read"):
        StoredStudy.read(folder, strict=True)


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="is not a study folder"):
        StoredStudy.read(tmp_path)
    with pytest.raises(FpnProbeError, match="is not a cell of a study"):
        read_cell(tmp_path)


def test_a_folder_of_studies_and_one_that_is_not_there(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.json").write_text("{}")
    with pytest.raises(FpnProbeError, match=r"holds several studies \(mine, other\): give one"):
        StoredStudy.read(tmp_path)
    with pytest.raises(FpnProbeError, match=r"there is no folder .*mien: did you mean mine\?"):
        StoredStudy.read(tmp_path / "mien")


def test_reading_needs_no_torch() -> None:
    code = "import fpnprobe.store, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("process", "state"),
    [
        ({"host": socket.gethostname(), "pid": os.getpid()}, "running"),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, "interrupted"),  # no such process
        ({"host": socket.gethostname(), "pid": str(os.getpid())}, "interrupted"),
        ({"host": socket.gethostname(), "pid": 0}, "interrupted"),  # a whole group of processes
        ({"host": socket.gethostname(), "pid": -1}, "interrupted"),
        ({"host": "elsewhere", "pid": os.getpid()}, "interrupted"),
        (None, "interrupted"),
    ],
)
def test_a_run_goes_on_while_its_process_does(process: Any, state: str, tmp_path: Path) -> None:
    content = {"format": 1, "variant": "a", "state": "running", "process": process}
    (tmp_path / "fpnprobe.json").write_text(json.dumps(content))
    assert read_run(tmp_path).state == state


@pytest.mark.parametrize("entry", ['"seed": true', '"iteration": "3"', '"buckets": {}'])
def test_a_run_with_an_entry_of_another_type_is_damaged(entry: str, tmp_path: Path) -> None:
    (tmp_path / "fpnprobe.json").write_text('{"format": 1, "variant": "a", ' + entry + "}")
    cell = read_run(tmp_path)
    assert cell.state == "damaged" and "of another type than expected" in cell.reason


def test_a_study_of_runs_has_the_name_that_is_given_or_those_of_its_runs(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "fpnprobe.json").write_text(
            json.dumps({"format": 1, "variant": folder.name, "state": "done"})
        )
    assert StoredStudy.of_runs(folders).name == "one + two"
    assert StoredStudy.of_runs(folders, name="pair").name == "pair"
    same = StoredStudy.of_runs(folders, names=["A", "A"])
    assert same.name == "A" and [cell.seed for cell in same.cells] == [0, 1]


def test_runs_that_are_called_the_same_are_numbered_anew_where_they_clash(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder, seed in zip(folders, (3, 3, 7, 8), strict=True):
        folder.mkdir()
        (folder / "fpnprobe.json").write_text(json.dumps({"format": 1, "seed": seed}))
    cells = StoredStudy.of_runs(folders, names=["x", "x", "y", "y"]).cells
    assert [cell.title for cell in cells] == ["x seed 0", "x seed 1", "y seed 7", "y seed 8"]


def test_runs_of_other_sizes_are_no_study(tmp_path: Path) -> None:
    """A report would call them by the bounds of one; their states can still be told."""
    for name, buckets in (
        ("a", [["small", 0, 100], ["large", 100, None]]),
        ("b", [["small", 0, 9216], ["large", 9216, None]]),
        ("ledger alone", []),
        ("c", [["small", 0, 100.0], ["large", 100, None]]),
    ):
        (tmp_path / name).mkdir()
        content = {"format": 1, "variant": name, "state": "done", "buckets": buckets}
        (tmp_path / name / "fpnprobe.json").write_text(json.dumps(content))
    with pytest.raises(FpnProbeError, match=r"a and .*b have different size buckets: expected"):
        StoredStudy.read(tmp_path)
    with pytest.raises(FpnProbeError, match="different size buckets"):
        read_report([tmp_path / "b", tmp_path / "c"])
    alike = StoredStudy.of_runs([tmp_path / name for name in ("ledger alone", "a", "c")])
    assert [bucket.high for bucket in alike.buckets] == [100, float("inf")]
    assert len(status(tmp_path)["cells"]) == 4


@pytest.mark.parametrize(
    ("detections", "iou_type"),
    [({}, "bbox"), ({"bbox": "b"}, "bbox"), ({"segm": "s"}, "segm"),
     ({"bbox": "b", "segm": "s"}, "bbox")],
)  # fmt: skip
def test_runs_are_evaluated_by_masks_where_they_have_nothing_else(
    detections: dict[str, str], iou_type: str, tmp_path: Path
) -> None:
    content = {"format": 1, "variant": "a", "state": "done", "detections": detections}
    (tmp_path / "fpnprobe.json").write_text(json.dumps(content))
    study = StoredStudy.of_runs([tmp_path])
    assert study.content["evaluation"] == {"iou_type": iou_type}


def test_a_run_with_damaged_bounds_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "fpnprobe.json").write_text(
        '{"format": 1, "variant": "a", "buckets": [["small", 0]]}'
    )
    cell = read_run(tmp_path)
    assert cell.state == "damaged"
    assert "a bucket is ['small', 0], expected (name, low, high) in px^2" in cell.reason


@pytest.mark.parametrize(
    ("stored", "given", "seed"), [(None, None, 0), (3, None, 3), (3, 0, 0), (0, 2, 2)]
)
def test_the_seed_of_a_run(
    stored: int | None, given: int | None, seed: int, tmp_path: Path
) -> None:
    (tmp_path / "fpnprobe.json").write_text(json.dumps({"format": 1, "seed": stored}))
    assert read_run(tmp_path, seed=given).seed == seed


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 1), (6, 1), (7, 0)])
def test_runs_are_looked_for_six_folders_deep(depth: int, count: int, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*"abcdefg"[:depth])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fpnprobe.json").write_text('{"format": 1}')
    assert list(find_runs(tmp_path)) == [folder] * count


def test_links_are_not_followed_to_runs(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fpnprobe.json").write_text('{"format": 1}')
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "run")
    assert list(find_runs(tmp_path / "tree")) == []
