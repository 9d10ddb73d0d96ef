"""The weights on the way and at the end are measured on the same images."""

import gzip
import json
import threading
from pathlib import Path

import pandas as pd
import pytest
import torch

from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.store.cell import StoredCell
from fpnprobe.study.folder.mending import find_damage, remove_damage
from fpnprobe.study.runner import exit_codes, worker
from tests.mm.studies.test_resume import StopAfter, run
from tests.mm.tiny import tiny


def read_detections(file: Path) -> list[object]:
    with gzip.open(file, "rt") as stream:
        content = json.load(stream)
    assert content
    return list(content)


WANTED = {"probe__offline": 3, "probe__snapshots": [0.5]}


def test_snapshots_and_the_end_are_measured(tmp_path: Path) -> None:
    folder = run(tmp_path / "out", **WANTED)
    assert sorted(path.name for path in (folder / "offline").iterdir()) == [
        "iteration-4",
        "iteration-8",
    ]
    half, end = (Ledger.read(folder / f"offline/iteration-{n}").frame for n in (4, 8))
    assert list(half["iteration"].unique()) == [0, 1]  # three images, two to a batch
    assert half["n_objects"].tolist() == end["n_objects"].tolist()
    assert half["l2"].tolist() != end["l2"].tolist()
    assert (end["residual_gradient"].dropna() < 1e-5).all()
    table = pd.read_parquet(folder / "evaluation.parquet")
    assert sorted(table["iteration"].unique()) == [4, 8]
    assert (folder / "snapshots/detections-4.json.gz").exists()


def test_ap_on_the_way_is_that_of_a_shorter_training(tmp_path: Path) -> None:
    settings = {"schedule__final_lr": 1.0, "probe__mode": None}
    folder = run(tmp_path / "out", probe__snapshots=[0.5], **settings)
    shorter = run(tmp_path / "half", schedule__iterations=4, **settings)
    on_the_way = read_detections(folder / "snapshots/detections-4.json.gz")
    assert on_the_way == read_detections(shorter / "detections.json.gz")
    table = pd.read_parquet(folder / "evaluation.parquet").query("iteration == 4")
    expected = pd.read_parquet(shorter / "evaluation.parquet")
    pd.testing.assert_frame_equal(table.reset_index(drop=True), expected)


def test_a_lost_snapshot_is_predicted_again(tmp_path: Path) -> None:
    result = tiny(tmp_path / "out", probe__snapshots=[0.5])
    folder = result.cells[0].folder
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    before = (folder / "evaluation.parquet").read_bytes()
    (folder / "snapshots/detections-4.json.gz").write_bytes(b"")
    damage = find_damage(StoredCell.read(folder))
    assert damage.steps == ("evaluate", "snapshots")
    remove_damage(StoredCell.read(folder), damage)
    assert not (folder / "evaluation.parquet").exists()
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    assert (folder / "evaluation.parquet").read_bytes() == before


def test_a_snapshot_holds_the_weights_of_a_shorter_training(tmp_path: Path) -> None:
    folder = run(tmp_path / "out", schedule__final_lr=1.0, **WANTED)
    shorter = run(tmp_path / "half", schedule__final_lr=1.0, schedule__iterations=4)
    kept = checkpoint.read(folder / "checkpoints/iteration-4.pt")["state_dict"]
    final = checkpoint.read(shorter / "checkpoints/final.pt")["state_dict"]
    assert all(torch.equal(kept[name], final[name]) for name in final)


def test_stopped_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    never, undisturbed = StopAfter(1000), tiny(tmp_path / "whole", **WANTED)
    assert worker.run(undisturbed, "FPN", 0, device="cpu", stop=never) == exit_codes.DONE
    whole = undisturbed.cells[0].folder
    result = tiny(tmp_path / "parts", **WANTED)
    cell = result.cells[0]
    stop = StopAfter(1000 - never.left - 1)  # the last question: before the last batch
    assert worker.run(result, "FPN", 0, device="cpu", stop=stop) == exit_codes.STOPPED
    assert (cell.folder / "features/index.json").exists()
    assert not (cell.folder / "offline/iteration-8").exists()
    assert worker.run(result, "FPN", 0, device="cpu", stop=threading.Event()) == exit_codes.DONE
    assert not (cell.folder / "offline/measuring").exists()
    for step in (4, 8):
        place = f"offline/iteration-{step}/ledger.parquet"
        pd.testing.assert_frame_equal(
            pd.read_parquet(whole / place), pd.read_parquet(cell.folder / place), check_exact=True
        )


def test_without_kept_checkpoints_a_finished_cell_has_none(tmp_path: Path) -> None:
    folder = run(tmp_path / "out", resources__keep_checkpoint=False)
    assert not (folder / "checkpoints").exists()
    assert (folder / "features/index.json").exists()


@pytest.mark.parametrize("parts", [[0.5, 0.5], [0.5, 0.25], [0.0], [1.0], [2]])
def test_bad_snapshots(tmp_path: Path, parts: list[float]) -> None:
    with pytest.raises(FpnProbeError, match="rising parts"):
        tiny(tmp_path, probe__snapshots=parts)
