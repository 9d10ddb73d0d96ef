"""Several processes of one cell: on one machine or two, they give what one process gives."""

import gzip
import json
import shutil
import socket
import subprocess
from pathlib import Path

import cv2
import pandas as pd
import pytest
import torch
from torch.utils.data import get_worker_info

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.mm.training.images import loader as loading
from fpnprobe.mm.training.images.cell_images import open_images
from fpnprobe.mm.training.images.loader import count_workers, prediction_loader
from fpnprobe.mm.training.team import Team
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner import exit_codes, launchers
from fpnprobe.study.runner.launchers import Launch, Rendezvous
from tests.mm.studies.test_resume import run
from tests.mm.tiny import tiny

FIXED = {
    "detector__norm_eval": True, "schedule__clip": None, "schedule__iterations": 3,
    "schedule__batch": 4, "schedule__optimizer": "SGD", "probe__interval": 1,
    "data__scenes__val": 11,
}  # fmt: skip


def detections(folder: Path) -> list[dict[str, object]]:
    content: list[dict[str, object]] = json.loads(
        gzip.decompress((folder / "detections.json.gz").read_bytes())
    )
    return content


def finish(process: "subprocess.Popen[bytes]", result: Output) -> None:
    code = process.wait(timeout=300)
    assert process.stdin is not None
    process.stdin.close()
    assert code == exit_codes.DONE, (result.cells[0].folder / "log.txt").read_text()[-3000:]


def test_predictions_are_shared_out_and_equal_those_of_one_process(tmp_path: Path) -> None:
    """The same weights: the cell's detections and AP are made again, by three processes."""
    result = tiny(tmp_path, **FIXED)
    folder = run(tmp_path, **FIXED)
    one = (folder / "detections.json.gz").read_bytes()
    metrics = pd.read_parquet(folder / "evaluation.parquet")
    assert len(detections(folder)) > 11
    (folder / "detections.json.gz").unlink()
    (folder / "evaluation.parquet").unlink()
    finish(Launch(nproc=3).start(result, result.cells[0]), result)
    assert (folder / "detections.json.gz").read_bytes() == one
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "evaluation.parquet"), metrics)
    finish(Launch(nproc=2).start(result, result.cells[0]), result)  # nothing left to do


def test_two_nodes_on_one_machine(tmp_path: Path) -> None:
    """Two torchruns that meet: loss, ledger and detections are those of two processes on one."""
    together = tiny(tmp_path / "together", **FIXED)
    finish(Launch(nproc=2).start(together, together.cells[0]), together)
    apart = tiny(tmp_path / "apart", **FIXED)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nodes = [
        Launch().start(
            apart,
            apart.cells[0],
            rendezvous=Rendezvous(nodes=2, rank=rank, address="127.0.0.1", port=port),
        )
        for rank in range(2)
    ]
    for node in nodes:
        finish(node, apart)
    folders = together.cells[0].folder, apart.cells[0].folder
    one, other = (pd.read_parquet(folder / "ledger.parquet") for folder in folders)
    pd.testing.assert_frame_equal(one, other, rtol=1e-5)
    assert detections(folders[0]) == detections(folders[1])


def test_a_team_of_one_waits_for_nobody() -> None:
    team = Team()
    team.announce("train")
    assert (team.rank, team.size, team.gather([1])) == (0, 1, [[1]])


@pytest.mark.parametrize(
    ("cpus", "processes", "device", "cached", "workers"),
    [(2, 1, "cpu", True, 0), (2, 1, "cpu", False, 1), (32, 8, "cuda", False, 3),
     (32, 1, "cuda", True, 8), (4, 8, "cuda", True, 1)],
)  # fmt: skip
def test_workers_by_the_cpus_at_hand(
    cpus: int, processes: int, device: str, cached: bool, workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cpus)))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert count_workers(cached=cached, device=device) == workers


def test_cells_side_by_side_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loading.CPUS == launchers.CPUS
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    for name, value in Launch(jobs=8).environment(1, slot=0).items():
        monkeypatch.setenv(name, value)
    assert count_workers(cached=False, device="cuda") == 7


class _Threads(torch.utils.data.Dataset[dict[str, int]]):
    def __getitem__(self, index: int) -> dict[str, int]:
        assert get_worker_info() is not None
        return {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()}


def test_a_worker_has_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = tiny(tmp_path)
    images = open_images(
        CellConfig.of(result.study, "FPN", 0), root=result.source.root,
        annotations=result.source.val, classes=result.source.classes, with_loss=False,
    )  # fmt: skip
    monkeypatch.setattr(loading, "count_workers", lambda **_: 1)
    before, state = cv2.getNumThreads(), torch.get_rng_state()
    loader = prediction_loader(images, [range(2)], device="cpu")
    loader.dataset.__class__ = _Threads
    (batch,) = list(loader)
    assert batch == {"opencv": [1, 1], "torch": [1, 1]}
    assert cv2.getNumThreads() == before
    assert torch.equal(torch.get_rng_state(), state)
    shutil.rmtree(tmp_path)
