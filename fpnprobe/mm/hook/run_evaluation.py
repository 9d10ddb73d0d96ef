"""AP of a training's validations: from its detections, or as mmdet's metric prints it."""

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mmdet.evaluation.metrics import CocoMetric

from fpnprobe.data.annotation_file import documents
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import evaluate
from fpnprobe.mm.hook.runner_facts import find_annotation_file, find_validation_images
from fpnprobe.scales import ScaleBucket
from fpnprobe.store import atomic
from fpnprobe.store.run_file import RunFile
from fpnprobe.store.tables import DamagedTable, read_parquet

DETECTIONS = "detections"
_TABLE = "evaluation.parquet"
_KINDS = ("bbox", "segm")
_METRICS = {
    "mAP": "AP", "mAP_50": "AP_50", "mAP_75": "AP_75", "mAP_s": "AP_S", "mAP_m": "AP_M",
    "mAP_l": "AP_L",
}  # fmt: skip


class ValidationRecord:
    """Keeps the detections and the AP of each validation of a training.

    Args:
        folder: Folder of the run.
        cell: Study, variant and seed.
        buckets: Scale buckets.
        area: "box" where the area of an object is that of its box.
        file: The run file, which names detections and annotations.
    """

    def __init__(
        self,
        folder: Path,
        cell: Mapping[str, Any],
        *,
        buckets: tuple[ScaleBucket, ...],
        area: str | None,
        file: RunFile,
    ) -> None:
        self._folder, self._cell, self._buckets = folder, cell, buckets
        self._area, self._file = area, file
        self._annotations: str | None = None

    def dump_detections(self, runner: Any) -> None:
        """Let COCO's metric keep its detections, so that AP can have intervals."""
        for place, metric in enumerate(getattr(runner.val_loop.evaluator, "metrics", ())):
            # Other metrics have an `outfile_prefix` too, for files and annotations of their own.
            if isinstance(metric, CocoMetric) and metric.outfile_prefix is None:
                metric.outfile_prefix = str(self._folder / DETECTIONS)
                self._annotations = self._annotations_of_validated(runner, place)
        count = len(runner.val_loop.dataloader.dataset)
        self._file.update(
            images=[self._file.content["images"][0], count], data=find_validation_images(runner)
        )

    def _annotations_of_validated(self, runner: Any, place: int) -> str | None:
        """Path of the annotations; a part of them where fewer images are validated on.

        The run file is told which ids they give the classes.
        A dataset with `indices`, say, predicts on some images: the others' objects are not missed.
        None where the file cannot be read as COCO's; AP is then as mmdet's metric prints it.
        """
        file = find_annotation_file(runner, place)
        dataset = runner.val_loop.dataloader.dataset
        if file is None or not hasattr(dataset, "get_data_info"):
            return file
        validated = {dataset.get_data_info(i).get("img_id") for i in range(len(dataset))}
        try:
            content = documents.read_json(file)
            id_of = {entry.get("name"): entry["id"] for entry in content["categories"]}
            images = [image for image in content["images"] if image["id"] in validated]
            objects = [entry for entry in content["annotations"] if entry["image_id"] in validated]
        except (FpnProbeError, LookupError, TypeError, AttributeError) as error:
            reason = error if isinstance(error, FpnProbeError) else f"{file} is no COCO file"
            runner.logger.warning(
                f"fpnprobe: AP is as mmdet prints it, without intervals: {reason}"
            )
            return None
        classes = self._file.content.get("classes") or ()
        self._file.update(category_ids=[id_of.get(name) for name in classes])
        if len(images) == len(content["images"]):
            return file
        runner.logger.warning(
            f"fpnprobe: {len(images)} of {len(content['images'])} images of {file} are validated: "
            "AP in fpnprobe's files is over these; mmdet's counts the others' objects as missed"
        )
        validated_file = self._folder / "validated.json"
        text = json.dumps({**content, "images": images, "annotations": objects})
        atomic.write_bytes(validated_file, text.encode())
        return str(validated_file.resolve())

    def take(self, runner: Any, metrics: Mapping[str, Any] | None) -> None:
        """Keep the AP of a validation: from the detections, else as mmengine's evaluator says."""
        table = self._evaluate_results(runner.iter)
        if table is None:
            table = _rows_of_metrics(metrics or {}, self._cell, runner.iter)
        if table.empty:
            return
        path = self._folder / _TABLE
        if path.is_file():
            try:
                before = read_parquet(path, {"iteration": "number"})
                table = pd.concat([before[before["iteration"] < runner.iter], table])
            except DamagedTable as error:
                runner.logger.warning(f"fpnprobe: the AP of earlier validations is lost: {error}")
        atomic.write(path, lambda file: table.to_parquet(file, index=False))

    def _evaluate_results(self, iteration: int) -> pd.DataFrame | None:
        tables = []
        files: dict[str, str] = {}
        for kind in _KINDS:
            file = self._folder / f"{DETECTIONS}.{kind}.json"
            if self._annotations is None or not file.is_file():
                continue
            try:
                result = evaluate(
                    self._annotations,
                    file,
                    iou_type=kind,
                    buckets=self._buckets,
                    area=self._area,
                )
            except FpnProbeError:
                file.unlink()
                continue
            files[kind] = _compress_file(file)
            tables.append(result.to_pandas(**self._cell, iteration=iteration))
        self._file.update(detections=files, annotations=self._annotations)
        return pd.concat(tables, ignore_index=True) if tables else None


def remove_validations(folder: Path) -> None:
    """Remove the AP and the detections that a former training left in its folder."""
    result_files = [f"{DETECTIONS}.{kind}.json" for kind in _KINDS]
    for name in (_TABLE, *result_files, *map(_compressed_name, _KINDS)):
        (folder / name).unlink(missing_ok=True)


def _compressed_name(kind: str) -> str:
    return f"{DETECTIONS}.json.gz" if kind == "bbox" else f"{DETECTIONS}.{kind}.json.gz"


def _compress_file(file: Path) -> str:
    """Compress a result file of COCO's metric; return the new name."""
    name = _compressed_name(file.name.split(".")[1])
    packed = gzip.compress(file.read_bytes(), mtime=0)
    atomic.write_bytes(file.with_name(name), packed)
    file.unlink()
    return name


def _rows_of_metrics(
    metrics: Mapping[str, Any], cell: Mapping[str, Any], iteration: int
) -> pd.DataFrame:
    """Rows of `evaluation.parquet` from the names of mmdet's COCO metric."""
    rows = []
    for name, value in metrics.items():
        kind, _, suffix = name.rpartition("/")[2].partition("_")
        metric = _METRICS.get(suffix)
        if kind in ("bbox", "segm") and metric and isinstance(value, int | float):
            number = float(value) if value >= 0 else math.nan  # COCO's -1: nothing to evaluate
            rows.append((kind, metric, number))
    table = pd.DataFrame(rows, columns=["iou_type", "metric", "value"])
    return table.assign(**cell, iteration=iteration, engine="mmdet, to three digits")[
        ["study", "variant", "seed", "iteration", "iou_type", "metric", "value", "engine"]
    ]
