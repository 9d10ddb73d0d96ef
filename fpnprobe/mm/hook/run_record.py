"""What a training under the hook says of itself: its run file, its AP, its first and last line."""

import gzip
import itertools
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import evaluate
from fpnprobe.evidence.diagnosis import diagnose, headline
from fpnprobe.ledger import Ledger
from fpnprobe.mm.hook.norms_observer import stage_parameters
from fpnprobe.scales import ScaleBucket
from fpnprobe.store import atomic
from fpnprobe.store.run_file import RunFile, describe_run

FEW = 10  # samples below which a share says little
DETECTIONS = "detections"
_METRICS = {
    "mAP": "AP", "mAP_50": "AP_50", "mAP_75": "AP_75", "mAP_s": "AP_S", "mAP_m": "AP_M",
    "mAP_l": "AP_L",
}  # fmt: skip


class RunRecord:
    """Keeps `fpnprobe.json` and `evaluation.parquet` of a training under mmengine.

    Args:
        runner: The run that begins.
        folder: Folder of the ledger.
        cell: Study, variant and seed.
        buckets: Scale buckets.
        probe: Mode, interval or budget, as a sentence says them.
        area: "box" where the area of an object is that of its box.
    """

    def __init__(
        self,
        runner: Any,
        folder: Path,
        cell: Mapping[str, Any],
        *,
        buckets: tuple[ScaleBucket, ...],
        probe: str,
        area: str | None = None,
    ) -> None:
        self._folder, self._cell, self._buckets = folder, dict(cell), buckets
        self._area = area
        self._start = time.perf_counter()
        self._begun = runner.iter
        parameters = stage_parameters(runner.model)
        self._frozen = [
            n for n, stage in parameters.items() if not any(p.requires_grad for p in stage)
        ]
        backbone = getattr(runner.model, "module", runner.model).backbone
        self._thaw = _thaw(backbone, self._frozen)
        loader = runner.train_loop.dataloader
        self._annotations: str | None = None
        self._file = RunFile(
            folder,
            describe_run(
                made_by="GradientProbeHook",
                config=_config(runner),
                buckets=buckets,
                iterations=runner.max_iters,
                stages={name: {"frozen": name in self._frozen} for name in parameters},
                device=str(next(runner.model.parameters()).device.type),
                images=[len(loader.dataset), None],
                batch=loader.batch_sampler.batch_size if loader.batch_sampler else None,
                area=area,
                classes=list((getattr(loader.dataset, "metainfo", None) or {}).get("classes", ())),
                **self._cell,
            ),
        )
        taps = ", ".join(f"{n} (frozen)" if n in self._frozen else n for n in parameters)
        runner.logger.info(
            f"fpnprobe: {taps} and the levels of the neck; {_bounds(buckets)}; {probe}; ledger in "
            f"{folder}{'. ' + self._thaw if self._thaw else ''}"
        )

    def dump_detections(self, runner: Any) -> None:
        """Let COCO's metric keep its detections, so that AP can have intervals."""
        for metric in getattr(runner.val_loop.evaluator, "metrics", ()):
            if hasattr(metric, "outfile_prefix") and metric.outfile_prefix is None:
                metric.outfile_prefix = str(self._folder / DETECTIONS)
                self._annotations = _annotation_file(runner)
        count = len(runner.val_loop.dataloader.dataset)
        self._file.update(
            images=[self._file.content["images"][0], count], data=_validation_images(runner)
        )

    def take_evaluation(self, runner: Any, metrics: Mapping[str, Any] | None) -> None:
        """Keep the AP of a validation: from the detections, else as mmengine's evaluator says."""
        table = self._evaluated(runner.iter)
        if table is None:
            table = _told(metrics or {}, self._cell, runner.iter)
        if table.empty:
            return
        path = self._folder / "evaluation.parquet"
        if path.is_file():
            before = pd.read_parquet(path)
            table = pd.concat([before[before["iteration"] < runner.iter], table])
        atomic.write(path, lambda file: table.to_parquet(file, index=False))

    def _evaluated(self, iteration: int) -> pd.DataFrame | None:
        tables = []
        files: dict[str, str] = {}
        for kind in ("bbox", "segm"):
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
            files[kind] = _pack(file)
            tables.append(result.to_pandas(**self._cell, iteration=iteration))
        self._file.update(detections=files, annotations=self._annotations)
        return pd.concat(tables, ignore_index=True) if tables else None

    def progress(self, iteration: int, summary: Mapping[str, Any]) -> None:
        """Tell how far the training is, and what the probe has to say."""
        seconds = time.perf_counter() - self._start
        steps = max(iteration - self._begun, 1)
        timings = {"train_s": round(seconds, 3), "per_iteration_s": round(seconds / steps, 6)}
        self._file.update(iteration=iteration, probe=_plain(summary), timings=timings)

    def close(self, runner: Any, summary: Mapping[str, Any], error: BaseException | None) -> None:
        """The last word in the run file, and in the log."""
        self.progress(runner.iter, summary)
        self._keep_losses(runner)
        stopped = isinstance(error, KeyboardInterrupt)
        state = "done" if error is None else "interrupted" if stopped else "failed"
        self._file.update(state=state, reason=" ".join(str(error or "").split())[:200])
        samples = int(summary["samples"])
        if samples == 0:
            runner.logger.warning(
                "fpnprobe: no sample was taken: the training was shorter than the interval; give a "
                "smaller one, such as interval=10"
            )
            return
        if samples < FEW and summary["mode"] != "norms":
            runner.logger.warning(
                f"fpnprobe: {samples} samples only: shares of so few batches say little"
            )
        runner.logger.info(f"fpnprobe: {closing(summary)}; fpnprobe report {self._folder}")
        if summary["mode"] != "norms":
            ledger = Ledger.read(self._folder)
            names = [bucket.name for bucket in self._buckets]
            findings = diagnose({self._cell["variant"]: [ledger]}, buckets=names)
            runner.logger.info(f"fpnprobe: {headline(findings)}")

    def _keep_losses(self, runner: Any) -> None:
        """Write the losses and rates that mmengine's message hub holds, one value an iteration."""
        tables = []
        for key, buffer in runner.message_hub.log_scalars.items():
            name = key.removeprefix("train/")
            if name == key or not ("loss" in name or name == "lr"):
                continue
            values, counts = buffer.data
            if len(values):
                steps = range(runner.iter - len(values), runner.iter)
                means = [v / max(c, 1) for v, c in zip(values, counts, strict=True)]
                tables.append(pd.DataFrame({"iteration": steps, "name": name, "value": means}))
        if tables:
            table = pd.concat(tables, ignore_index=True)
            table = table[table["iteration"] >= 0]
            atomic.write(
                self._folder / "training.parquet", lambda file: table.to_parquet(file, index=False)
            )


def closing(summary: Mapping[str, Any]) -> str:
    """Samples, cost and the worst residual of a run in a line."""
    residuals = [v for v in summary["residuals"].values() if isinstance(v, float)]
    worst = f", worst residual {max(residuals):.1e} in {summary['arithmetic']}" if residuals else ""
    cost = summary.get("cost")
    spent = f", cost {100 * cost:.1f} % of training" if isinstance(cost, float) else ""
    bad = "".join(
        f", {summary[name]} {name}" for name in ("unsound", "nonfinite", "underflow")
        if summary[name]
    )  # fmt: skip
    return f"{summary['samples']} samples{spent}{worst}{bad}"


def config_name(runner: Any) -> str:
    """What a run is called where nobody says: its config, else its folder."""
    file = getattr(runner.cfg, "filename", None)
    return Path(file).stem if file else Path(runner.work_dir).resolve().name


def _thaw(backbone: Any, frozen: list[str]) -> str:
    """How to train the frozen stages."""
    if not frozen:
        return ""
    names = ", ".join(frozen)
    if getattr(backbone, "frozen_stages", -1) > 0:
        return (
            f"{names} is frozen (model.backbone.frozen_stages={backbone.frozen_stages}) and has "
            "no gradient: set frozen_stages=0 to train and measure it"
        )
    return f"{names} is frozen and has no gradient: let its parameters train to measure it"


def _config(runner: Any) -> dict[str, Any]:
    """The config's file, and what builds its model and resizes its images, as data."""
    config = runner.cfg
    model = config.get("model")
    return _plain(
        {
            "file": getattr(config, "filename", None),
            "model": model.to_dict() if hasattr(model, "to_dict") else None,
            "accumulate": runner.optim_wrapper._accumulative_counts,
        }
    )


def _annotation_file(runner: Any) -> str | None:
    """The annotations that COCO's metric judges by: as the config says, else the data set's."""
    evaluators = runner.cfg.get("val_evaluator") or {}
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if evaluator.get("ann_file"):
            return str(Path(evaluator["ann_file"]).resolve())
    dataset = runner.val_loop.dataloader.dataset
    while not getattr(dataset, "ann_file", None) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    annotations = getattr(dataset, "ann_file", None)
    return str(Path(annotations).resolve()) if annotations else None


def _validation_images(runner: Any) -> dict[str, Any]:
    """Where the validation images lie, and the (short, long) side that they are resized to."""
    dataset = runner.val_loop.dataloader.dataset
    while not hasattr(dataset, "data_prefix") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    prefix = getattr(dataset, "data_prefix", {}).get("img") or getattr(dataset, "data_root", None)
    images: dict[str, Any] = {"folder": str(Path(prefix or ".").resolve()), "size": None}
    for step in getattr(getattr(dataset, "pipeline", None), "transforms", ()):
        scale = getattr(step, "scale", None)
        if type(step).__name__ == "Resize" and scale:
            sides = (scale, scale) if isinstance(scale, int) else scale
            images["size"] = [min(sides), max(sides)]
            break
    return images


def _pack(file: Path) -> str:
    """Compress a result file of COCO's metric; return the new name."""
    kind = file.name.split(".")[1]
    name = f"{DETECTIONS}.json.gz" if kind == "bbox" else f"{DETECTIONS}.{kind}.json.gz"
    packed = gzip.compress(file.read_bytes(), mtime=0)
    atomic.write_bytes(file.with_name(name), packed)
    file.unlink()
    return name


def _bounds(buckets: tuple[ScaleBucket, ...]) -> str:
    """The buckets by the side of a square of their area.

    >>> from fpnprobe.scales import COCO_BUCKETS
    >>> _bounds(COCO_BUCKETS)
    'small < 32 px <= medium < 96 px <= large'
    """
    phrases = [buckets[0].name]
    for before, bucket in itertools.pairwise(buckets):
        phrases.append(f"< {math.sqrt(before.high):g} px <= {bucket.name}")
    return " ".join(phrases)


def _told(metrics: Mapping[str, Any], cell: Mapping[str, Any], iteration: int) -> pd.DataFrame:
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


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold, with null for numbers that are not finite."""

    def mend(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {str(key): mend(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [mend(inner) for inner in item]
        if isinstance(item, float) and not math.isfinite(item):
            return None
        return item if item is None or isinstance(item, str | int | float) else str(item)

    return {key: mend(item) for key, item in value.items()}
