"""Which metrics give their detections, and what a validation does with damaged files."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mmdet.evaluation.metrics import CocoMetric, CrowdHumanMetric

from fpnprobe.mm.hook.run_evaluation import ValidationRecord
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store.run_file import RunFile, describe_run

CELL: dict[str, Any] = {"study": "", "variant": "FPN", "seed": 0}
IMAGES = [{"id": 1, "width": 64, "height": 64}]


class Images:
    """A data set of one image."""

    def __init__(self, ann_file: Path) -> None:
        self.ann_file = str(ann_file)
        self.data_prefix: dict[str, str] = {}

    def __len__(self) -> int:
        return 1

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"img_id": index + 1}


def runner_of(metric: Any, ann_file: Path, iteration: int = 4) -> Any:
    evaluator = SimpleNamespace(metrics=[metric])
    loader = SimpleNamespace(dataset=Images(ann_file))
    return SimpleNamespace(
        cfg={},
        iter=iteration,
        logger=logging.getLogger("fpnprobe-test"),
        val_loop=SimpleNamespace(evaluator=evaluator, dataloader=loader),
    )


def record_of(folder: Path) -> ValidationRecord:
    file = RunFile(folder, describe_run(made_by="GradientProbeHook", images=[1, None], **CELL))
    return ValidationRecord(folder, CELL, buckets=COCO_BUCKETS, area=None, file=file)


def test_a_metric_of_other_annotations_is_left_alone(tmp_path: Path) -> None:
    annotations = tmp_path / "val.odgt"
    annotations.write_text('{"ID": "1"}\n{"ID": "2"}\n')
    metric = CrowdHumanMetric(ann_file=str(annotations))
    record_of(tmp_path).dump_detections(runner_of(metric, annotations))
    assert metric.outfile_prefix is None


@pytest.mark.parametrize("content", ["000005\n000007\n", "[1]", '{"images": [{}]}', None])
def test_annotations_that_are_none_of_coco_are_a_warning(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    annotations = tmp_path / "val.txt"
    if content is not None:
        annotations.write_text(content)
    record, runner = record_of(tmp_path), runner_of(CocoMetric(), annotations)
    record.dump_detections(runner)
    record.take(runner, {"coco/bbox_mAP": 0.25})
    assert ["AP is as mmdet prints it" in message for message in caplog.messages] == [True]
    table = pd.read_parquet(tmp_path / "evaluation.parquet")
    assert table[["metric", "value"]].to_numpy().tolist() == [["AP", 0.25]]


def test_readable_annotations_are_used(tmp_path: Path) -> None:
    annotations = tmp_path / "val.json"
    annotations.write_text(json.dumps({"images": IMAGES, "annotations": [], "categories": []}))
    metric, record = CocoMetric(), record_of(tmp_path)
    record.dump_detections(runner_of(metric, annotations))
    assert metric.outfile_prefix == str(tmp_path / "detections")
    assert record._annotations == str(annotations)


def test_the_annotations_are_those_of_coco_s_metric(tmp_path: Path) -> None:
    other, annotations = tmp_path / "val.odgt", tmp_path / "val.json"
    annotations.write_text(json.dumps({"images": IMAGES, "annotations": [], "categories": []}))
    other.write_text('{"ID": "1"}\n')
    runner = runner_of(CocoMetric(), other)
    runner.val_loop.evaluator.metrics.insert(0, CrowdHumanMetric(ann_file=str(other)))
    runner.cfg["val_evaluator"] = [{"ann_file": str(other)}, {"ann_file": str(annotations)}]
    record = record_of(tmp_path)
    record.dump_detections(runner)
    assert record._annotations == str(annotations)


@pytest.mark.parametrize("content", [b"no parquet", b""])
def test_a_damaged_table_of_ap_is_lost_and_no_training(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "evaluation.parquet").write_bytes(content)
    record, runner = record_of(tmp_path), runner_of(CocoMetric(), tmp_path / "none.json")
    record.take(runner, {"coco/bbox_mAP": 0.25})
    assert "the AP of earlier validations is lost: cannot read" in caplog.text
    assert pd.read_parquet(tmp_path / "evaluation.parquet")["iteration"].tolist() == [4]


def test_a_resumed_training_replaces_the_ap_after_its_checkpoint(tmp_path: Path) -> None:
    record = record_of(tmp_path)
    for iteration in (2, 4, 6, 4):
        runner = runner_of(CocoMetric(), tmp_path / "none.json", iteration)
        record.take(runner, {"coco/bbox_mAP": 0.25})
    assert pd.read_parquet(tmp_path / "evaluation.parquet")["iteration"].tolist() == [2, 4]
