"""`fpnprobe train`: any config to its report, resumed, interrupted, and what is refused first."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fpnprobe.cli import main
from fpnprobe.config.training_request import MODES, TrainingRequest
from fpnprobe.errors import EnvironmentProblem, FpnProbeError, Interrupted
from fpnprobe.ledger import Ledger
from fpnprobe.mm.hook.probe_hook import INTERVALS
from fpnprobe.mm.training.any_config import prepare_config, train_config
from fpnprobe.store.run_file import read_run_file
from fpnprobe.study import training_run
from tests.mm import small
from tests.mm.hook.test_run_folder import config_of

STOCK = "faster-rcnn_r50_fpn_1x_coco"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's config file, with a probe of its own in it."""
    folder = tmp_path_factory.mktemp("config")
    found = config_of(root, folder, seed=0, iterations=4)
    found.default_hooks = {"checkpoint": {"type": "CheckpointHook", "interval": 2}}
    found.default_hooks.checkpoint.by_epoch = False
    (hook,) = found.custom_hooks
    hook.buckets = [[*b[:2], None if b[2] == float("inf") else b[2]] for b in hook.buckets]
    found.dump(folder / "own_retinanet.py")
    return folder / "own_retinanet.py"


def test_the_modes_that_are_refused_early_are_those_that_the_hook_lacks() -> None:
    assert set(MODES) == set(INTERVALS)


def test_from_config_to_report_and_on(config: Path, tmp_path: Path) -> None:
    main.register()
    folder = tmp_path / "run"
    command = ["train", str(config), "--work-dir", str(folder), "--interval", "2", "--json"]
    first = CliRunner().invoke(main.app, [*command, "--cfg-options", "log_level=ERROR"])
    assert first.exit_code == 0, first.output
    result = json.loads(first.stdout.splitlines()[-1])
    assert Path(result["html"]).is_file() and result["diagnosis"]
    told = read_run_file(folder)
    assert (told["state"], told["variant"], told["iteration"]) == ("done", "own_retinanet", 4)
    assert told["probe"]["mode"] == "full"  # as the config's own hook says
    assert sorted(set(Ledger.read(folder).frame.iteration)) == [0, 2]
    with pytest.raises(FpnProbeError, match="holds the ledger of a training: --resume goes on"):
        prepare_config(TrainingRequest(config=str(config), work_dir=str(folder)))
    longer = ["--resume", "train_cfg.max_iters=6", "train_cfg.val_interval=6"]
    again = CliRunner().invoke(main.app, [*command, *longer])
    assert again.exit_code == 0, again.output
    assert sorted(set(Ledger.read(folder).frame.iteration)) == [0, 2, 4]
    assert read_run_file(folder)["iteration"] == 6


def test_an_interrupted_training_says_how_to_go_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from mmengine.model import BaseModel

    def stop(*_args: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    folder = tmp_path / "cut"
    request = TrainingRequest(config=str(config), work_dir=str(folder))
    with monkeypatch.context() as patched:
        patched.setattr(BaseModel, "train_step", stop)
        with pytest.raises(Interrupted, match="with --resume goes on"):
            training_run.train(request)
    assert read_run_file(folder)["state"] == "interrupted"

    def interrupted(*_args: Any, **_options: Any) -> Any:
        raise Interrupted("interrupted; go on")

    monkeypatch.setattr(training_run, "train", interrupted)
    monkeypatch.setattr(sys, "argv", ["fpnprobe", "train", str(config)])
    with pytest.raises(SystemExit) as end:
        main.entry()
    assert end.value.code == 130
    assert capsys.readouterr().err == "interrupted; go on\n"


def test_what_cannot_be_built_is_one_line(root: Path, tmp_path: Path) -> None:
    def prepare(**options: Any) -> Any:
        return prepare_config(TrainingRequest(config=STOCK, work_dir=str(tmp_path), **options))

    with pytest.raises(FpnProbeError, match="nearest"):
        prepare_config(TrainingRequest(config=f"{STOCK}x"))
    with pytest.raises(FpnProbeError, match="expected KEY=VALUE"):
        prepare(options=("model.backbone",))
    with pytest.raises(FpnProbeError, match=r"--cfg-options optim_wrapper\.type\.x=1"):
        prepare(options=("optim_wrapper.type.x=1",))
    assert prepare(auto_scale_lr=True).auto_scale_lr.enable
    assert prepare(amp=True).optim_wrapper.type == "AmpOptimWrapper"
    found = prepare(data=str(root))
    assert found.model.roi_head.bbox_head.num_classes == len(
        found.train_dataloader.dataset.metainfo.classes
    )
    folder = tmp_path / "work_dirs" / "new"
    with pytest.raises(FpnProbeError, match=r"built \(FileNotFoundError\).*data/coco.*--data DIR"):
        train_config(TrainingRequest(config=STOCK, work_dir=str(folder)))
    assert not (tmp_path / "work_dirs").exists()


def test_launchers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(launcher: str, nproc: int = 1) -> Any:
        request = TrainingRequest(config=STOCK, work_dir=str(tmp_path), launcher=launcher)
        return training_run.train(request, nproc=nproc)

    with pytest.raises(FpnProbeError, match="expected one of none, pytorch, slurm"):
        train("mpi")
    with pytest.raises(FpnProbeError, match="--nproc 2: expected --launcher pytorch"):
        train("none", nproc=2)
    with pytest.raises(FpnProbeError, match="start it inside a job"):
        train("slurm")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with monkeypatch.context() as patched:
        patched.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(EnvironmentProblem, match="torch finds no CUDA device"):
            train("slurm")
        patched.setattr("torch.cuda.is_available", lambda: True)
        patched.setattr("fpnprobe.mm.training.any_config.train_config", lambda _r: tmp_path)
        assert train("slurm") is None  # only the first process goes on to the report
        patched.setenv("SLURM_PROCID", "0")
        assert train("slurm") == tmp_path


@pytest.mark.slow
def test_two_processes_train_by_torchrun(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TrainingRequest(
        config=str(config), work_dir=str(tmp_path / "two"), launcher="pytorch"
    )
    folder = training_run.train(request, nproc=2)
    assert folder is not None
    told = read_run_file(folder)
    assert (told["state"], told["iteration"]) == ("done", 4)
    assert told["probe"]["facts"]["processes"] == 2
    assert set(Ledger.read(folder).frame.state) == {"measured"}
    broken = TrainingRequest(
        config=str(config), work_dir=str(tmp_path / "bad"), launcher="pytorch",
        options=("model.backbone.depth=7",),
    )  # fmt: skip
    with pytest.raises(FpnProbeError, match="the training failed"):
        training_run.train(broken, nproc=2)
