"""The faults F1 to F17 of commit 41d651e, each by a test that fails on it.

What is imported exists there as well, by one of two names, so the file runs in a checkout of it:
`git worktree add OLD 41d651e`, copy this file to `OLD/tests/mm/test_faults.py`, and run pytest in
`OLD`. `FAULTS` says which tests show which fault, and where it is tested in detail.
"""

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import fpnprobe
from fpnprobe.cli import main
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import compare
from fpnprobe.scales import ScaleBucket
from tests.mm.tiny import study_file, tiny

# fault -> where else it is tested, in detail; here a test of each has its number in its name
FAULTS = {
    "f1": "unit/study/folder/test_study_folder.py, mm/studies/test_damage.py",
    "f2": "unit/store/test_trust.py",
    "f3": "unit/data/test_masks.py",
    "f4": "unit/study/folder/test_study_folder.py",
    "f5": "unit/study/test_bad_input.py",
    "f6": "unit/study/test_bad_input.py",
    "f7": "unit/config/test_loading.py",
    "f8": "unit/report",
    "f9": "unit/probing/watch",
    "f10": "unit/store/test_locks.py, unit/report",
    "f11": "unit/data/test_mutations.py",
    "f12": "unit/store/test_study.py",
    "f13": "unit/study/test_judge.py",
    "f14": "mm/studies/test_damage.py",
    "f15": "mm/studies/test_damage.py",
    "f16": "mm/studies/test_damage.py",
    "f17": "mm/studies/test_damage.py",
}
CHANGES: dict[str, Any] = {
    "schedule__iterations": 4, "probe__interval": 1, "variants": ["DC5", "FPN"],
}  # fmt: skip
GIB = 2**30


def by_either_name(*names: str) -> Any:
    """The first module that exists: of the present layout, or of the old one."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(names[0])


# the old name first: an installed fpnprobe has the new one
worker = by_either_name("fpnprobe.study.worker", "fpnprobe.study.runner.worker")
DONE, FAILED = 0, 1  # exit codes of a cell
locks = by_either_name("fpnprobe.study.locks", "fpnprobe.store.locks")


def invoke(capsys: Any, monkeypatch: Any, *words: object) -> tuple[int, str]:
    """Exit code and stderr of a command; a traceback is a failure of the test."""
    monkeypatch.setattr("sys.argv", ["fpnprobe", *map(str, words)])
    main.app.registered_commands.clear()
    main.app.registered_groups.clear()
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main.entry()
    return int(end.value.code or 0), capsys.readouterr().err.strip()


def run_cell(out: Path, variant: str = "FPN", **changes: Any) -> int:
    """Run a cell as its worker does, in this process."""
    found: int = worker.run(
        tiny(out, **(CHANGES | changes)), variant, 0, device="cpu", stop=threading.Event()
    )
    return found


def cell_of(out: Path, variant: str = "fpn") -> Path:
    return out / "cells" / variant / "seed-0"


def manifest_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cell_of(out) / "manifest.json").read_text())
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two cells with its evidence, made by the command line."""
    root = tmp_path_factory.mktemp("finished")
    for variant in ("DC5", "FPN"):
        assert run_cell(root / "out", variant) == DONE
    file = study_file(root / "study", **CHANGES)
    words = ["fpnprobe", "run-study", str(file), "--out", str(root / "out")]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr("sys.argv", words)
        main.entry()
    assert not end.value.code
    return root / "out"


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose cell FPN was stopped in the middle."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    stop = threading.Event()
    original: Any = torch.Tensor.backward
    passes = 0

    def backward(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 2:
            stop.set()
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "backward", backward)
        code = worker.run(tiny(out, **CHANGES), "FPN", 0, device="cpu", stop=stop)
    assert code not in (DONE, FAILED)
    assert (cell_of(out) / "checkpoints" / "resume.pt").is_file()
    return out


@pytest.fixture
def resumed(stopped: Path, tmp_path: Path) -> Path:
    shutil.copytree(stopped, tmp_path / "out")
    return tmp_path / "out"


def test_every_fault_has_a_test() -> None:
    tested = {word for name in globals() for word in name.split("_") if name.startswith("test_f")}
    assert set(FAULTS) <= tested


@pytest.mark.parametrize("content", [b"", b'{"state": "do', b"[]", b"\0" * 20])
def test_f1_damaged_manifest(content: bytes, copy: Path, monkeypatch: Any) -> None:
    """Nothing of the cell is deleted, and it is told."""
    (cell_of(copy) / "manifest.json").write_bytes(content)
    before = (cell_of(copy) / "checkpoints" / "final.pt").stat().st_mtime_ns
    monkeypatch.setattr("fpnprobe.mm.training.train.train", lambda *_, **__: pytest.fail("trained"))
    run_cell(copy)
    assert before in [file.stat().st_mtime_ns for file in copy.rglob("final.pt")]
    assert (copy / "archive").exists() or "written anew" in " ".join(manifest_of(copy)["notes"])


def test_f2_code_of_a_manifest(copy: Path, capsys: Any, monkeypatch: Any) -> None:
    file = cell_of(copy) / "evil.py"
    file.write_text(
        f"import pathlib\npathlib.Path({str(copy / 'pwned')!r}).touch()\nmodel = {{}}\n"
    )
    manifest = manifest_of(copy)
    manifest["config"]["detector"] = {"config": str(file)}
    (cell_of(copy) / "manifest.json").write_text(json.dumps(manifest))
    code, _ = invoke(capsys, monkeypatch, "attribute", cell_of(copy))
    assert code == 2
    assert not (copy / "pwned").exists()


def one_object(**changes: Any) -> dict[str, Any]:
    """A small annotation file, with changes of its image, annotation or category."""
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
    annotation = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 15], "area": 300,
        "iscrowd": 0, "segmentation": [[2, 3, 22, 3, 22, 18, 2, 18]],
    }  # fmt: skip
    for key, value in changes.items():
        (image if key in image and key != "id" else annotation)[key] = value
    return {
        "images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "x"}],
    }  # fmt: skip


def written(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Annotations with changes, and detections."""
    truth, found = folder / "gt.json", folder / "dets.json"
    truth.write_text(json.dumps(one_object(**changes)))
    entry = {"image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 15], "score": 0.9}
    entry["segmentation"] = [[2, 3, 22, 3, 22, 18, 2, 18]]
    found.write_text(json.dumps([entry]))
    return truth, found


@pytest.mark.parametrize("value", [2e8, -1e308])
def test_f3_polygon_beyond_its_image(value: float, tmp_path: Path) -> None:
    """In a process with 4 GiB: it once took 17, or the process."""
    files = written(tmp_path, segmentation=[[2, 3, 22, 3, 22, 18, 2, value]])
    done = subprocess.run(
        [sys.executable, "-m", "fpnprobe", "evaluate", *map(str, files), "--iou-type", "segm"],
        capture_output=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB)),
    )  # fmt: skip
    lines = done.stderr.decode().strip().splitlines()
    assert done.returncode == 2, lines
    assert len(lines) == 1


def test_f4_key_that_is_a_path(copy: Path, monkeypatch: Any) -> None:
    """Nothing leaves the study's folder."""
    manifest = manifest_of(copy) | {"key": "../../victim"}
    (cell_of(copy) / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr("fpnprobe.mm.training.train.train", lambda *_, **__: 1 / 0)
    run_cell(copy)
    assert [each.name for each in copy.parent.iterdir()] == ["out"]


UNUSABLE = [  # F5, then F6
    'data.scenes.train="x"', "data.scenes.size=1000000", "data.size=0", "data.size=-5",
    "data.size=1e9", "schedule.lr=Infinity", "schedule.lr=1e400", "schedule.clip=Infinity",
    "schedule.steps=[NaN]", "seeds=99999999999999999999", "resources.threads=100000",
    "schedule.iterations=99999999999999999999", "schedule.iterations=true",
    'buckets=[["a","0",null]]',
]  # fmt: skip


@pytest.mark.parametrize("override", UNUSABLE)
def test_f5_f6_plan_refuses(override: str, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    study = study_file(tmp_path / "study")
    words = ("plan", study, "--out", tmp_path / "out", "--set", override)
    code, err = invoke(capsys, monkeypatch, *words)
    assert code == 2
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("height", ["abc", [48], None, float("nan"), 10**400, -1])
def test_f5_f11_evaluate_refuses(
    height: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """A height that is none: refused, or not needed and told so by leaving AP as it is."""
    code, err = invoke(capsys, monkeypatch, "evaluate", *written(tmp_path, height=height))
    assert code in ((0, 2) if height is None else (2,))
    assert len(err.splitlines()) == (1 if code else 0)


@pytest.mark.parametrize(
    ("words", "hit"),
    [("shedule.lr=1", "schedule"), ("data.scenes.trainn=3", "train")],
)
def test_f7_suggestions(
    words: str, hit: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    study = study_file(tmp_path / "study")
    code, err = invoke(capsys, monkeypatch, "plan", study, "--set", words)
    assert code == 2
    assert "did you mean" in err
    first = err.split("did you mean")[1].split("?")[0].split(" or ")[0].split(",")[0].strip()
    assert first.split(".")[0 if hit == "schedule" else -1].strip("'\"`") == hit


def test_f7_section_that_is_misspelt(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    study = study_file(tmp_path / "study")
    file = study / "study.py"
    file.write_text(file.read_text().replace("schedule =", "shedule ="))
    code, err = invoke(capsys, monkeypatch, "plan", study)
    assert code == 2
    assert "did you mean schedule or " in err


def test_f8_variant_that_is_gone(copy: Path, capsys: Any, monkeypatch: Any) -> None:
    """Evidence of a variant that `study.json` has no more."""
    content = json.loads((copy / "study.json").read_text())
    content["variants"] = [v for v in content["variants"] if "DC5" not in json.dumps(v)]
    content["cells"] = [c for c in content["cells"] if c["variant"] != "DC5"]
    (copy / "study.json").write_text(json.dumps(content))
    shutil.rmtree(cell_of(copy, "dc5"))
    assert invoke(capsys, monkeypatch, "report", copy)[0] == 0


class Pyramid(torch.nn.Module):
    """Two stages and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2 = (torch.nn.Conv2d(c, 4, 3, padding=1) for c in (3, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer2(self.layer1(images)).mean((1, 2, 3))  # type: ignore[no-any-return]


def watch_steps(folder: Path, steps: int) -> None:
    model = Pyramid()
    with fpnprobe.watch(model, out_dir=folder) as probe:
        for _ in range(steps):
            rows = model(torch.ones(3, 3, 8, 8)) ** 2
            probe.measure(rows.mean(), rows=rows, labels=torch.tensor([0, 1, 2]))


def test_f9_second_ledger(tmp_path: Path) -> None:
    """A script that is run again loses nothing of what it has measured."""
    watch_steps(tmp_path, 3)
    try:
        watch_steps(tmp_path, 1)
    except FpnProbeError as error:
        assert str(tmp_path) in str(error)
    assert set(fpnprobe.Ledger.read(tmp_path).frame.iteration) == {0, 1, 2}


def test_f10_lock_looked_at_by_its_holder(tmp_path: Path) -> None:
    with locks.held(tmp_path / "lock"):
        assert locks.is_held(tmp_path / "lock")
        locks.holder(tmp_path / "lock")
        code = (
            f"import {locks.__name__} as locks\n"
            f"with locks.held({str(tmp_path / 'lock')!r}, wait=0.1): print('two holders')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"two holders" not in done.stdout


def test_f10_link_for_a_lock(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(FpnProbeError), locks.held(tmp_path / "lock", wait=0.1):
        pass
    assert victim.read_text() == "precious"


def test_f10_html() -> None:
    """A name of a bucket is text in a notebook."""
    truth = one_object()
    truth["images"].append(truth["images"][0] | {"id": 2})
    found = [{"image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 15], "score": 0.9}]
    name = "<img src=x onerror=alert(1)>"
    buckets = [ScaleBucket(name, 0, 100), ScaleBucket("rest", 100, float("inf"))]
    page = compare(truth, found, found, buckets=buckets, resamples=4)._repr_html_()
    assert "<img src=x" not in page


def test_f10_gzip(tmp_path: Path) -> None:
    """A megabyte that unpacks to one and a half gigabytes is one line, in 2 GiB of memory."""
    code = "import gzip,sys; f = gzip.open(sys.argv[1], 'wb', 9); f.write(b'['); "
    code += "[f.write(b' ' * 2**24) for _ in range(96)]; f.close()"
    bomb = tmp_path / "bomb.json.gz"
    subprocess.run([sys.executable, "-c", code, str(bomb)], check=True)
    _, found = written(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "fpnprobe", "evaluate", str(bomb), str(found)],
        capture_output=True, timeout=240, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 * GIB, 2 * GIB)),
    )  # fmt: skip
    lines = done.stderr.decode().strip().splitlines()
    assert (done.returncode, len(lines)) == (2, 1), lines


@pytest.mark.parametrize(
    "changes",
    [{"file_name": "a\0b"}, {"file_name": "\ud800"}, {"width": 10**400}, {"area": 10**400},
     {"bbox": [10**400, 1, 2, 3]}],
)  # fmt: skip
def test_f11_check_refuses(
    changes: dict[str, Any], tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        file = tmp_path / "annotations" / f"{split}.json"
        file.write_text(json.dumps(one_object(**changes)))
    code, err = invoke(capsys, monkeypatch, "data", "check", tmp_path)
    assert code == 2
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("changes", [{"cells": [3]}, {"variants": 3}, {"buckets": 3}])
@pytest.mark.parametrize("verb", ["report", "compare"])
def test_f12_damaged_study(
    verb: str, changes: dict[str, Any], copy: Path, capsys: Any, monkeypatch: Any
) -> None:
    """One line, or a page that names the hole."""
    content = json.loads((copy / "study.json").read_text()) | changes
    (copy / "study.json").write_text(json.dumps(content))
    cells = [cell_of(copy, name) for name in ("dc5", "fpn")]
    words = ("compare", *cells, "--resamples", 4) if verb == "compare" else ("report", copy)
    code, err = invoke(capsys, monkeypatch, *words)
    assert code in (0, 2)
    assert "Traceback" not in err


def test_f13_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the runner, though the cell can write nothing any more; exit code 3."""
    module = tmp_path / "full_disk.py"
    module.write_text(
        "import errno, os\n"
        "import torch\n"
        "original = torch.Tensor.backward\n"
        "def full(*_, **__):\n"
        "    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "def backward(self, *args, **kwargs):\n"
        "    os.replace = os.rename = os.fsync = full\n"
        "    return original(self, *args, **kwargs)\n"
        "torch.Tensor.backward = backward\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    study = study_file(tmp_path / "study", schedule__iterations=3, imports=["full_disk"])
    words = ["fpnprobe", "run-study", str(study), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, check=False)
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == 3, told
    assert "disk full" in told


def test_f14_lost_ledger(resumed: Path) -> None:
    for file in cell_of(resumed).glob("ledger*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    assert run_cell(resumed) == FAILED
    assert "ledger" in str(manifest_of(resumed)["reason"])


def reason_after(resumed: Path, change: Callable[[Path], object]) -> str:
    change(cell_of(resumed) / "checkpoints" / "resume.pt")
    assert run_cell(resumed) == FAILED
    return str(manifest_of(resumed)["reason"])


def test_f15_cut_state(resumed: Path) -> None:
    """Our words, none of torch's."""
    said = reason_after(resumed, lambda file: file.write_bytes(file.read_bytes()[:2000]))
    assert "resume.pt" in said
    assert "PyTorch" not in said


def test_f15_state_without_a_part(resumed: Path) -> None:
    def drop(file: Path) -> None:
        content = torch.load(file, weights_only=False)
        content.pop("schedulers")
        torch.save(content, file)

    assert "checkpoint has no 'schedulers'" in reason_after(resumed, drop)


def test_f16_flipped_state(resumed: Path) -> None:
    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 20] = bytes(b ^ 0xFF for b in content[middle : middle + 20])
        file.write_bytes(content)

    assert "resume.pt" in reason_after(resumed, flip)


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_f17_cut_table_or_missing_table(
    damage: str, copy: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again from the detections; nothing is trained."""
    monkeypatch.setattr("fpnprobe.mm.training.train.train", lambda *_, **__: pytest.fail("trained"))
    file = cell_of(copy) / "evaluation.parquet"
    whole = pd.read_parquet(cell_of(finished) / "evaluation.parquet")
    file.write_bytes(file.read_bytes()[:500]) if damage == "cut" else file.unlink()
    assert run_cell(copy) == DONE
    pd.testing.assert_frame_equal(pd.read_parquet(file), whole)
