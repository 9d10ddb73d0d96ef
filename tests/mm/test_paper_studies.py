"""The studies of the paper's figures and tables: whole and mini, every variant's model config."""

import json
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.evaluation.published import numbers
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training.model import model_config
from fpnprobe.study import keys, load

ROOT = Path(__file__).parents[2] / "studies"
FILES = sorted(
    file
    for folder in ("figure1", "figure3", "table1", "table2", "table3", "table4")
    for file in (ROOT / folder).glob("*.py")
)
IDS = [f"{file.parent.name}/{file.stem}" for file in FILES]
# learning rate, optimizer and clipping of the model zoo, where they are not SGD 0.02 without
ZOO: dict[str, Any] = {
    "retinanet": (0.01, "SGD", None),
    "free_anchor": (0.01, "SGD", 35.0),
    "atss": (0.01, "SGD", None),
    "fcos": (0.01, "SGD", 35.0),
    "fsaf": (0.01, "SGD", 10.0),
    "sparse_rcnn": (2.5e-5, "AdamW", 1.0),
    "mask_rcnn_swin": (1e-4, "AdamW", None),
}


def test_all_frameworks_of_the_tables_are_there() -> None:
    assert len([i for i in IDS if i.startswith("table3/")]) == len(numbers()["table3"]["rows"])
    assert len([i for i in IDS if i.startswith("table4/")]) == len(numbers()["table4"]["rows"])


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_schedule_is_the_papers_and_the_zoos(file: Path) -> None:
    study = load(file)
    schedule = study.schedule
    found = (schedule.lr, schedule.optimizer, schedule.clip)
    assert found == ZOO.get(file.stem, (0.02, "SGD", None))
    assert (schedule.batch, study.data.size) == (16, (800, 1333))
    assert schedule.epochs == (36 if file.stem.endswith("x101") else 12)
    assert "The paper (percent" in study.expected and "None" not in study.question
    assert (file.parent / "README.md").is_file()


@pytest.mark.parametrize("file", FILES, ids=IDS)
@pytest.mark.parametrize("preset", [(), ("preset=mini",)], ids=["full", "mini"])
def test_every_variant_has_a_model_config(file: Path, preset: tuple[str, ...]) -> None:
    study = load(file, preset)
    for variant in study.variants:
        config = keys.cell_config(study, variant.name, 0)
        model = model_config(json.loads(json.dumps(config)), classes=80)
        assert model.backbone and model.neck


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_every_variant_of_the_mini_studies_builds(file: Path) -> None:
    study = load(file, ["preset=mini"])
    for variant in study.variants:
        config = keys.cell_config(study, variant.name, 0)
        build_detector(model_config(json.loads(json.dumps(config)), classes=5))
