"""Cells as jobs: submitit's local executor runs them; the sbatch file says what the study says."""

from pathlib import Path

import pytest

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.store.cell import State
from fpnprobe.study.runner import slurm
from fpnprobe.study.runner.launchers import Launch
from fpnprobe.study.runner.local import Tracked
from tests.mm.tiny import tiny


class Silent:
    def update(self, cells: object) -> None:
        pass


@pytest.mark.slow
def test_the_local_executor_runs_the_cells(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    result = tiny(tmp_path, schedule__iterations=2, probe__mode=None)
    via = submitit.LocalExecutor(folder=slurm.folder(result))
    found: list[Tracked] = slurm.run(
        result, result.cells, launch=Launch(), via=via, watcher=Silent()
    )
    assert [each.state for each in found] == [State.DONE]
    again = slurm.run(result, result.cells, launch=Launch(), via=via, watcher=Silent())
    assert [each.state for each in again] == [State.DONE]


def test_the_sbatch_file_asks_for_what_the_study_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_module = pytest.importorskip("submitit.slurm.slurm")
    monkeypatch.setattr(slurm_module.SlurmExecutor, "affinity", staticmethod(lambda: 1))
    changes = {"resources__gpus_per_cell": 4, "resources__slurm": {"partition": "long"}}
    result = tiny(tmp_path, resources__minutes=90, **changes)
    text = slurm.executor(result, jobs=3)._make_submission_file_text("RUN", "id")
    for line in (
        "--time=90", "--gpus-per-node=4", "--partition=long", "--job-name=fpnprobe-tiny",
        "--requeue", "--signal=USR2@60", "--cpus-per-task=8", "--mem=32GB",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in text, text
    assert "RUN" in text
    with pytest.raises(FpnProbeError, match=r"resources\.slurm"):
        slurm.executor(tiny(tmp_path, resources__slurm={"partitio": "x"}), jobs=1)


def test_away_from_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="srun"):
        slurm.executor(tiny(tmp_path), jobs=1)
