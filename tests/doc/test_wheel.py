"""The wheel in bare environments: the core without mmdet, and a study from an empty folder."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip builds it; that takes the build backend from the registry."""
    folder = tmp_path_factory.mktemp("dist")
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    built = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if built.returncode and "hatchling" in built.stderr:
        pytest.skip("the build backend cannot be fetched here")
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def requirements_of(wheel: Path) -> list[str]:
    """What the wheel itself asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]


def needed(wheel: Path, extra: str) -> set[str]:
    """Name the distributions that a wheel needs, those of an extra too, and what those need."""
    found: set[str] = set()
    waiting = [(text, extra) for text in requirements_of(wheel)]
    while waiting:
        text, wanted = waiting.pop()
        requirement = Requirement(text)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": each}) for each in ("", wanted)):
            continue
        if requirement.name in found:
            continue
        try:
            further = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:  # the lock leaves it out
            continue
        found.add(requirement.name)
        waiting += [(each, "") for each in further]
    return found


def make_environment(folder: Path, wheel: Path, extra: str) -> Path:
    """Make a virtual environment that sees what the wheel asks for and nothing else."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for name in needed(wheel, extra):
        for file in metadata.files(name) or []:
            top = file.parts[0]
            source, target = Path(str(metadata.distribution(name).locate_file(top))), site / top
            if top != ".." and source.exists() and not target.exists():
                target.symlink_to(source)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return folder / "bin" / "python"


def run(python: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(python), "-m", "fpnprobe", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_core_works_without_mmdet(wheel: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", wheel, extra="")
    work = tmp_path / "work"
    work.mkdir()
    for missing in ("mmdet", "mmcv", "mmengine", "torchvision", "timm"):
        code = f"import {missing}"
        assert subprocess.run([str(python), "-c", code], capture_output=True).returncode != 0
    listed = run(python, work, "studies")
    assert listed.returncode == 0, listed.stderr
    assert "quickstart" in listed.stdout
    assert run(python, work, "init", "mine", "--from", "quickstart").returncode == 0
    report = run(python, work, "report", str(ROOT / "reports/quickstart"), "--out", "report")
    assert report.returncode == 0, report.stderr
    assert (work / "report/report.html").is_file()
    assert (work / "report/report.pdf").is_file()
    assert run(python, work, "doctor").returncode == 3  # says that studies cannot run, and the fix
    refused = run(python, work, "run-study", "quickstart")
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert "pip install 'fpnprobe[mmdet]'" in refused.stderr
    evaluated = (
        "from fpnprobe.evaluation import evaluate\n"
        "box = dict(image_id=1, category_id=1, bbox=[2, 2, 30, 30])\n"
        "truth = dict(images=[dict(id=1, width=64, height=64)],\n"
        "             categories=[dict(id=1, name='a')],\n"
        "             annotations=[box | dict(id=1, area=900, iscrowd=0)])\n"
        "assert evaluate(truth, [box | dict(score=0.9)]).metrics['AP'] > 0.99\n"
    )
    evaluating = subprocess.run([str(python), "-c", evaluated], cwd=work, capture_output=True)
    assert evaluating.returncode == 0, evaluating.stderr
    watched = (
        "import torch, fpnprobe\n"
        "import fpnprobe.probing.provenance, fpnprobe.methods, fpnprobe.attribution\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))\n"
        "with fpnprobe.watch(model, taps={'C2': model[0]}) as probe:\n"
        "    rows = model(torch.ones(3, 4))[:, 0]\n"
        "    probe.measure(rows.sum(), rows=rows, labels=torch.tensor([0, 1, 2]))\n"
        "assert len(probe.ledger.frame)\n"
    )
    watching = subprocess.run([str(python), "-c", watched], cwd=work, capture_output=True)
    assert watching.returncode == 0, watching.stderr


def test_a_study_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv", wheel, extra="mmdet")
    work = tmp_path / "work"
    work.mkdir()
    small = ("schedule.iterations=4", "data.scenes.train=8", "data.scenes.val=4")
    words = [word for assignment in small for word in ("--set", assignment)]
    done = run(python, work, "run-study", "quickstart", "--variants", "FPN", *words)
    assert done.returncode == 0, done.stderr
    assert (work / "reports/quickstart/report.html").is_file()
