"""Our own studies: each preset is a study whose variants all build, and one of them trains."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.data import scenes
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training.model import model_config
from fpnprobe.study import load
from fpnprobe.study.folder import cell_key, dataset, study_folder
from fpnprobe.study.runner import worker

ROOT = Path(__file__).parents[3] / "studies"
STUDIES = [
    ("quickstart", ()),
    ("variants", ()),
    ("causes", ()),
    ("grouping", ()),
    ("coco_mini", ()),
    ("coco_mini", ("preset=gpu",)),
    ("coco_mini", ("preset=retinanet",)),
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
    assert study.question and study.expected
    readme = (ROOT / name / "README.md").read_text()
    assert all(word in readme for word in (f"run-study studies/{name}", *sets))
    for variant in study.variants:
        config = json.loads(json.dumps(cell_key.cell_config(study, variant.name, 0)))
        build_detector(model_config(config, classes=3))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gpu", "retinanet"])
def test_the_real_measurement_trains_in_small(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    root = scenes.cached(train=6, val=3, size=64, seed=0)
    study = load(ROOT / "coco_mini", [f"preset={preset}", *TINY, f"data.root={root}"])
    result = study_folder.of(
        study, source=dataset.prepare(study, out=tmp_path / "out"), out=tmp_path / "out"
    )
    result.write()
    for cell in result.cells:
        code = worker.run(result, cell.variant, 0, device="cpu", stop=threading.Event())
        assert code == worker.DONE, (cell.folder / "log.txt").read_text()
        probe: dict[str, Any] = json.loads((cell.folder / "manifest.json").read_text())["probe"]
        assert probe["residuals"]["gradient"] < 1e-5, cell.variant
        assert len(list((cell.folder / "offline").iterdir())) == 2
