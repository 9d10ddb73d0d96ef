"""Two cells, runs or detection files compared: where their detections and annotations lie."""

from pathlib import Path

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.comparison import (
    RESAMPLES,
    SEED,
    Comparison,
    check_resampling,
    compare,
)
from fpnprobe.evaluation.masks import check_iou_type
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket
from fpnprobe.store import StoredStudy
from fpnprobe.store.runs import is_run
from fpnprobe.store.study import STUDY, read_cell
from fpnprobe.store.tables import read_parquet

_STORED_COLUMNS = {
    **dict.fromkeys(("variant", "baseline", "seed", "metric", "source"), "text"),
    **dict.fromkeys(("a", "b", "difference", "low", "high", "n_images"), "number"),
}


def compare_runs(
    a: str | Path,
    b: str | Path,
    *,
    annotations: str | Path | None = None,
    iou_type: str | None = None,
    area: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare two cells of studies, or two detection files on the same annotations.

    A cell brings its annotations, buckets, `iou_type` and `area`; what is given here wins. Two
    cells of a study that came without its data or detections are compared by its stored table,
    which answers for the options it was made with and no others.

    Raises:
        FpnProbeError: If the annotations are missing or differ, a folder is no finished cell, or an
            option is out of range.
    """
    check_resampling(resamples=resamples, seed=seed)
    if iou_type is not None:
        check_iou_type(iou_type)
    files: list[Path] = []
    cell_settings: list[tuple[str, tuple[ScaleBucket, ...], str, str | None]] = []
    for path in (Path(a), Path(b)):
        if not path.exists():
            raise FpnProbeError(f"{path} does not exist: give a cell's folder or a detection file")
        if path.is_dir():
            study, detections, truth, kind_of_area = _find_results(path)
            files.append(detections)
            cell_settings.append((truth, study.buckets, study.iou_types[0], kind_of_area))
        else:
            files.append(path)
    if annotations is None and not _are_alike([settings[0] for settings in cell_settings]):
        raise FpnProbeError(
            f"{a} and {b} were evaluated on different annotations "
            f"({', '.join(settings[0] for settings in cell_settings)}), so they cannot be paired: "
            "train or evaluate both on the same images"
            if cell_settings
            else "detection files need their ground truth: add --annotations FILE"
        )
    if len({settings[1:] for settings in cell_settings}) > 1:
        raise FpnProbeError(
            "the two runs have different size buckets, iou_type or area: expected equal"
        )
    cell_annotations, buckets, kind, cell_area = (
        cell_settings[0] if cell_settings else ("", COCO_BUCKETS, "bbox", None)
    )
    annotation_file = Path(annotations or cell_annotations)
    are_stored_options = (
        annotations is None
        and area is None
        and iou_type in (None, kind)
        and (resamples, seed) == (RESAMPLES, SEED)
    )
    if are_stored_options and not all(file.is_file() for file in (annotation_file, *files)):
        stored = _stored_comparison(Path(a), Path(b))
        if stored is not None:
            return stored
    return compare(
        annotation_file,
        files[0],
        files[1],
        iou_type=iou_type or kind,
        buckets=buckets,
        area=area or cell_area,
        resamples=resamples,
        seed=seed,
    )


def _are_alike(files: list[str]) -> bool:
    """Whether annotation files are one, or the same to the byte: a run may write its own part."""
    paths = [Path(file) for file in files]
    if len(set(paths)) == 1:
        return True
    return bool(paths) and all(
        path.is_file() and path.read_bytes() == paths[0].read_bytes() for path in paths
    )


def _stored_comparison(a: Path, b: Path) -> Comparison | None:
    """Read what a study stores of two of its cells, for whoever lacks its data or detections."""
    if not (a.is_dir() and b.is_dir()):
        return None
    first, second = a.resolve(), b.resolve()
    if not all(path.parent.parent.name == "cells" for path in (first, second)):
        return None
    folder = first.parents[2]
    if folder != second.parents[2] or first.name != second.name or not (folder / STUDY).is_file():
        return None
    study = StoredStudy.read(folder)
    path = study.evidence_files.get("comparison")
    if path is None:
        return None
    names = [read_cell(cell).variant for cell in (first, second)]
    table = read_parquet(path, _STORED_COLUMNS)
    table = table[(table["source"] == "images")]
    table = table[table["seed"].astype(str) == first.name.removeprefix("seed-")]
    there = table[(table["baseline"] == names[0]) & (table["variant"] == names[1])]
    back = table[(table["baseline"] == names[1]) & (table["variant"] == names[0])]
    turned = back.assign(
        a=back["b"], b=back["a"], difference=-back["difference"], low=-back["high"],
        high=-back["low"],
    )  # fmt: skip
    rows = pd.concat([there, turned], ignore_index=True)
    if rows.empty:
        return None
    return Comparison(
        table=rows[["metric", "a", "b", "difference", "low", "high"]],
        curve=pd.DataFrame(),
        images=int(rows["n_images"].iloc[0]),
        resamples=int(rows["resamples"].iloc[0]) if "resamples" in rows else 1000,
        buckets=study.buckets,
        warnings=("from the stored comparison: the study's data or detections are not here",),
    )


def _find_results(folder: Path) -> tuple[StoredStudy, Path, str, str | None]:
    """Find detections, annotations and area of a cell that is done and current, or of a run.

    Raises:
        FpnProbeError: If the folder is neither.
    """
    path = folder.resolve()
    if is_run(path):
        runs = StoredStudy.of_runs([path])
        run = runs.cells[0]
        annotations = str(run.manifest.get("annotations") or "")
        if not (annotations and run.detections.is_file()):
            raise FpnProbeError(
                f"{folder} has no detections: a run keeps those of mmdet's COCO metric at each "
                "validation (val_evaluator of type CocoMetric); train with one"
            )
        return runs, run.detections, annotations, run.manifest.get("area")
    if len(path.parts) > 3 and (path.parents[2] / STUDY).exists():
        study = StoredStudy.read(path.parents[2], strict=True)
        for cell in study.done:
            if cell.folder.resolve() == path:
                return study, cell.detections, str(cell.annotations), None
    raise FpnProbeError(
        f"{folder} is not a finished run: expected a folder such as "
        "reports/quickstart/cells/fpn/seed-0 of a cell that is done and not stale, the work_dir "
        "of a training with the probe, or a detection file"
    )
