"""Our own studies: each preset is a study whose variants all build, and one of them trains."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.data import scenes
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training.model import model_config
from fpnprobe.study import load
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.folder.fitting import fit_study
from fpnprobe.study.runner import exit_codes, worker

ROOT = Path(__file__).parents[3] / "studies"
STUDIES = [
    ("quickstart", ()),
    ("variants", ()),
    ("variants", ("preset=rivals",)),
    ("variants", ("preset=longer",)),
    ("causes", ()),
    ("own_data", ()),
    ("own_data", ("preset=gpu",)),
    ("grouping", ()),
    ("coco_mini", ()),
    ("coco_mini", ("preset=gpu",)),
    ("coco_mini", ("preset=retinanet",)),
    ("coco_mini", ("preset=h100",)),
    ("coco_mini", ("preset=causes",)),
]
TINY = (
    "detector.weights=None", "data.size=64", "detector.size=64", "detector.proposals=16",
    "schedule.iterations=2", "schedule.batch=2", "schedule.warmup=1", "schedule.amp=None",
    "probe.budget=None", "probe.interval=1", "probe.offline=2", "probe.snapshots=[0.5]",
    "seeds=[0]",
)  # fmt: skip


@pytest.mark.parametrize(("name", "sets"), STUDIES)
def test_every_variant_builds(name: str, sets: tuple[str, ...]) -> None:
    study = load(ROOT / name, [*sets, "detector.weights=None"])
    study = fit_study(study, size=128, buckets=())
    assert study.question and study.expected
    readme = (ROOT / name / "README.md").read_text()
    assert all(word in readme for word in (f"run-study studies/{name}", *sets))
    for variant in study.variants:
        build_detector(model_config(CellConfig.of(study, variant.name, 0), classes=3))


@pytest.mark.slow
def test_own_data_of_any_layout_ends_in_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder as Roboflow exports it, its own classes; every variant, and the report."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    made = scenes.cached(train=8, val=4, size=128, seed=0)
    root = tmp_path / "own"
    for split, name in (("train", "train"), ("val", "valid")):
        (root / name).mkdir(parents=True)
        content = json.loads((made / "annotations" / f"{split}.json").read_text())
        (root / name / "_annotations.coco.json").write_text(json.dumps(content))
        for image in content["images"]:
            shutil.copy(made / "images" / image["file_name"], root / name)
    sets = [
        f"data.root={root}", "detector.weights=None", "schedule.at_most=2", "schedule.at_least=1",
        "schedule.batch=2", "probe.budget=None", "probe.interval=1", "probe.offline=2", "seeds=0",
    ]  # fmt: skip
    words = ["run-study", str(ROOT / "own_data"), "--out", str(tmp_path / "out")]
    words += [word for each in sets for word in ("--set", each)]
    done = subprocess.run(
        [sys.executable, "-m", "fpnprobe", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    study = json.loads((tmp_path / "out" / "study.json").read_text())["study"]
    assert (study["data"]["size"], study["detector"]["size"]) == (128, 128)
    assert len(study["buckets"]) == 3, "scenes of 128 px hold few objects over 96 px"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gpu", "retinanet", "h100"])
def test_the_real_measurement_trains_in_small(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    root = scenes.cached(train=6, val=3, size=64, seed=0)
    sets = [f"preset={preset}", *TINY, f"data.root={root}", "data.limits={}"]
    study = load(ROOT / "coco_mini", sets)
    result = study_folder.of(
        study, source=dataset.prepare(study, out=tmp_path / "out"), out=tmp_path / "out"
    )
    result.write()
    for cell in result.cells:
        code = worker.run(result, cell.variant, 0, device="cpu", stop=threading.Event())
        assert code == exit_codes.DONE, (cell.folder / "log.txt").read_text()
        probe: dict[str, Any] = json.loads((cell.folder / "manifest.json").read_text())["probe"]
        assert probe["residuals"]["gradient"] < 1e-5, cell.variant
        assert len(list((cell.folder / "offline").iterdir())) == 2
