"""The studies of the paper's figures and tables: whole and mini, every variant's model config."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor

from fpnprobe import report
from fpnprobe.config.cell_config import CellConfig
from fpnprobe.data import scenes
from fpnprobe.evidence import build as evidence
from fpnprobe.evidence.published import numbers
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import read_config
from fpnprobe.mm.inspect.attribution.explain_image import ask
from fpnprobe.mm.inspect.probe_images import probe_images
from fpnprobe.mm.inspect.trained_cell import TrainedCell
from fpnprobe.mm.training.building import build_runner
from fpnprobe.mm.training.model import model_config
from fpnprobe.mm.training.optimizer import optim_wrapper, rate_over_time
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.study import load
from fpnprobe.study.folder import cell_key, dataset, study_folder
from fpnprobe.study.runner import exit_codes, training, worker
from tests.mm.training.images.test_masks import run_lengths

ROOT = Path(__file__).parents[3] / "studies"
FILES = sorted(
    file
    for folder in ("figure1", "figure3", "table1", "table2", "table3", "table4")
    for file in (ROOT / folder).glob("*.py")
)
STEPS = 7330  # of one epoch of train2017
IDS = [f"{file.parent.name}/{file.stem}" for file in FILES]


def test_all_frameworks_of_the_tables_are_there() -> None:
    assert len([i for i in IDS if i.startswith("table3/")]) == len(numbers()["table3"]["rows"])
    assert len([i for i in IDS if i.startswith("table4/")]) == len(numbers()["table4"]["rows"])


def test_table_4_trains_no_cell_of_table_3_again() -> None:
    def cells(file: Path) -> dict[tuple[str, str], str]:
        study = load(file)
        return {
            (study.name, each.name): cell_key.cell_key(study, each.name, 0, data_hash="")
            for each in study.variants
        }

    for name, file in (
        ("study", "mask_rcnn"),
        ("mask_rcnn_swin", "mask_rcnn_swin"),
        ("cascade_mask_rcnn", "cascade_mask_rcnn"),
    ):
        assert cells(ROOT / f"table4/{name}.py") == cells(ROOT / f"table3/{file}.py")


def groups(paramwise: Mapping[str, Any] | None) -> list[tuple[str, float, float]]:
    """Rate and decay of each parameter, as mmengine gives them to a small model."""
    model = torch.nn.ModuleDict(
        {
            "stem": torch.nn.Conv2d(3, 8, 3),
            "norm1": torch.nn.GroupNorm(2, 8),
            "other": torch.nn.BatchNorm2d(8),
            "attention": torch.nn.ParameterDict(
                {"relative_position_bias_table": torch.nn.Parameter(torch.zeros(9, 2))}
            ),
            "absolute_pos_embed": torch.nn.Linear(4, 4),
        }
    )
    config = {"optimizer": {"type": "SGD", "lr": 1.0, "weight_decay": 1.0}}
    found = DefaultOptimWrapperConstructor(config, paramwise and dict(paramwise))(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        (names[id(parameter)], group["lr"], group["weight_decay"])
        for group in found.optimizer.param_groups
        for parameter in group["params"]
    ]


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_schedule_is_the_papers_and_the_zoos(file: Path) -> None:
    study = load(file)
    schedule = study.schedule
    zoo = read_config(study.detector["config"])
    wrapper = optim_wrapper(schedule, rate=study.schedule.rate, device="cpu")
    assert wrapper["optimizer"].pop("fused")
    given = dict(zoo.optim_wrapper.optimizer)
    assert given.pop("betas", (0.9, 0.999)) == (0.9, 0.999)  # torch's own
    assert wrapper["optimizer"] == given
    assert wrapper.get("clip_grad") == zoo.optim_wrapper.get("clip_grad")
    assert groups(wrapper.get("paramwise_cfg")) == groups(zoo.optim_wrapper.get("paramwise_cfg"))
    steps = STEPS * round(study.schedule.epochs or 0)
    ours = rate_over_time(schedule, steps=steps, rate=study.schedule.rate)
    warmup, drops = (dict(part) for part in zoo.param_scheduler)
    assert {"begin": 0, **ours[0]} == warmup
    repeats = study.schedule.epochs / drops["end"]  # the zoo's 3x is 12 epochs of the data 3 times
    assert repeats == zoo.train_dataloader.dataset.get("times", 1)
    assert ours[1]["gamma"] == drops["gamma"]
    epochs = [9, 11] if repeats == 1 else drops["milestones"]  # the paper's; 3x has the zoo's
    assert ours[1]["milestones"] == [STEPS * repeats * each for each in epochs]
    zoos = load(file, ["preset=zoo"]).schedule
    ours = rate_over_time(zoos, steps=steps, rate=study.schedule.rate)
    assert ours[1]["milestones"] == [STEPS * repeats * each for each in drops["milestones"]]
    assert (schedule.batch, study.data.size) == (zoo.auto_scale_lr.base_batch_size, (800, 1333))
    assert "The paper (percent" in study.expected
    assert "None" not in study.question + study.expected
    assert (file.parent / "README.md").is_file()


@pytest.mark.parametrize("file", FILES, ids=IDS)
@pytest.mark.parametrize("preset", [(), ("preset=mini",)], ids=["full", "mini"])
def test_every_variant_has_a_model_config(file: Path, preset: tuple[str, ...]) -> None:
    study = load(file, preset)
    for variant in study.variants:
        model = model_config(CellConfig.of(study, variant.name, 0), classes=80)
        assert model.backbone and model.neck


# mmdet gives its own mask structures to NumPy.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_mask_detector_judged_by_boxes_trains_on_masks(tmp_path: Path) -> None:
    study = load(ROOT / "table3" / "mask_rcnn.py", ["preset=mini"])
    assert study.evaluation.iou_types == ("bbox", "segm")
    result = study_folder.of(study, source=dataset.prepare(study, out=tmp_path), out=tmp_path)
    task = training.training(result, result.cell("FPN", 0), device="cpu")
    runner = build_runner(task, scratch=str(tmp_path / "scratch"))
    batch = runner.model.data_preprocessor(next(iter(runner._train_dataloader)), training=True)
    losses = runner.model(**batch, mode="loss")
    assert torch.isfinite(losses["loss_mask"])


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_every_variant_of_the_mini_studies_builds(file: Path) -> None:
    study = load(file, ["preset=mini"])
    for variant in study.variants:
        build_detector(model_config(CellConfig.of(study, variant.name, 0), classes=5))


def photographs() -> list[str]:
    """Overrides that take photographs with COCO's own masks and crowds; skips where none are."""
    shared = os.environ.get("FPNPROBE_SHARED") or Path(__file__).parents[4] / "shared"
    root = Path(shared) / "data" / "coco-mini"
    if not (root / "annotations" / "official_train.json").is_file():
        pytest.skip(f"no photographs at {root}")
    return [f"data.root={root}", "data.train=official_train", "data.val=official_val"]


@pytest.mark.parametrize("real", [False, True], ids=["scenes", "photographs"])
def test_a_trial_holds_objects_of_all_sizes_and_masks(
    real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    sets = ["preset=mini", *(photographs() if real else [])]
    study = load(ROOT / "figure1", sets)
    assert study.scale_buckets() == COCO_BUCKETS
    source = dataset.prepare(study, out=tmp_path)
    assert all(min(counts) > 0 for counts in source.by_bucket), source.by_bucket
    assert source.unmasked == (0, 0)
    assert source.images == (8, 4)
    for file in FILES:
        other = load(file, sets)
        data = other.data.model_copy(update={"short_sides": None})  # 3x draws its sides
        assert (data, other.scale_buckets()) == (study.data, COCO_BUCKETS), file
        assert min(other.schedule.warmup, other.schedule.iterations or 0) > 1, file


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
@pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")  # mmdet's FCOS, the old way
@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # FreeAnchor's table
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # cascades
@pytest.mark.filterwarnings("ignore:DeprecationWarning. `num_anchors`:UserWarning")  # mmdet's ATSS
@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_a_trial_on_photographs_ends_in_a_report(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every framework to its last step: AP of all sizes, pictures, the paper's numbers beside."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    study = load(file, ["preset=mini", *photographs()])
    result = study_folder.of(study, source=dataset.prepare(study, out=tmp_path), out=tmp_path)
    result.write()
    for cell in result.cells:
        code = worker.run(result, cell.variant, 0, device="cpu", stop=threading.Event())
        assert code == exit_codes.DONE, (cell.folder / "log.txt").read_text()
        manifest = cell.manifest() or {}
        assert manifest["holes"] == {}
        assert manifest["probe"]["residuals"]["gradient"] < 1e-5
        judged = pd.read_parquet(cell.folder / "evaluation.parquet")
        assert set(judged["iou_type"]) == set(study.evaluation.iou_types)
        assert judged[judged["metric"].isin(["AP_S", "AP_M", "AP_L"])]["value"].notna().all()
    evidence.build(tmp_path, resamples=10)
    report.build(tmp_path)
    assert (tmp_path / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
def test_run_lengths_and_crowds_to_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second object has run lengths, every image a crowd: training, probe, attribution."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    root = scenes.make(tmp_path / "data", train=4, val=2, size=128, outlines=True)
    for split in ("train", "val"):
        file = root / "annotations" / f"{split}.json"
        content = json.loads(file.read_text())
        for number, entry in enumerate(content["annotations"]):
            if number % 2:
                left, top, width, height = (round(value) for value in entry["bbox"])
                mask = np.zeros((128, 128), np.uint8)
                mask[top : top + height, left : left + width] = 1
                entry["segmentation"] = run_lengths(mask)
        whole = run_lengths(np.ones((128, 128), np.uint8))
        for image in content["images"]:
            crowd = {"image_id": image["id"], "category_id": 1, "bbox": [0, 0, 128, 128]}
            crowd |= {"id": 10**6 + image["id"], "area": 128 * 128, "iscrowd": 1}
            content["annotations"].append({**crowd, "segmentation": whole})
        file.write_text(json.dumps(content))
    out = tmp_path / "out"
    sets = ["preset=mini", f"data.root={root}", "variants=FPN", "probe.offline=2"]
    study = load(ROOT / "table3" / "mask_rcnn.py", [*sets, "buckets=auto"])
    result = study_folder.of(study, source=dataset.prepare(study, out=out), out=out)
    result.write()
    cell = result.cell("FPN", 0)
    code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    assert code == exit_codes.DONE, (cell.folder / "log.txt").read_text()
    assert (cell.manifest() or {})["holes"] == {}
    (ledger,) = cell.folder.glob("offline/*/ledger.parquet")
    terms = set(pd.read_parquet(ledger)["term"])
    assert "mask" in terms or "all" in terms
    opened = TrainedCell.open(cell.folder)
    found = ask(opened, object=0, steps=2)
    assert len(found.targets) == 1
    measured = probe_images(opened.detector, opened.images_for_loss(), tmp_path / "probed", count=2)
    assert measured.summary["residuals"]["gradient"] < 1e-5
