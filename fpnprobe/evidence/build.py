"""A study's evidence: tables of differences, size curves, errors and associations on disk.

Written into `<study>/evidence/`, from the stored detections and ledgers alone:

- `comparison.parquet`: variant, baseline, seed ("0", "1", ... or "all"), metric, a (baseline), b
  (variant), difference, low, high, source, level, n_seeds, n_images, resamples, note, method;
- `comparison_segm.parquet`: the same for masks, where a study judges boxes first and masks too;
- `size_curve.parquet`: variant, seed, low, high, sqrt_area (px), ap, band_low, band_high,
  n_objects, source;
- `size_difference.parquet`: variant, baseline and the same for the difference;
- `seeds.parquet`: variant, metric, n, mean, sd, low, high over training seeds (t interval);
- `errors.parquet`: variant, seed, bucket, error, d_ap, count (TIDE's types);
- `association.parquet`, `association_points.parquet`: gradient measures against AP changes
  (`fpnprobe.evidence.association`).

`cells.json` holds the keys of the cells that it was made of: once one of them is trained anew, no
reader takes the tables (`fpnprobe.store.StoredStudy.evidence_files`).

`source` says what an interval covers: `images` (bootstrap over validation images), `seeds`
(Student's t over training seeds) or `both` (hierarchical bootstrap), `method` how it was made.
Intervals are at 95 %.
"""

import io
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.error_types import error_types
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.resampling import Resampled, resample
from fpnprobe.evaluation.size_bins import bin_table, size_edges
from fpnprobe.evidence.association import associations
from fpnprobe.evidence.differences import Runs, compared, curve_differences, curves, seed_table
from fpnprobe.evidence.finished_cells import FinishedStudy, comparison_name, read_study
from fpnprobe.statistics import resample_counts
from fpnprobe.store import atomic
from fpnprobe.store.study import CELLS, EVIDENCE, STUDY, StoredStudy

RESAMPLES = 1000


def build(study_dir: str | Path, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
    """Compute and write all evidence of the cells that are done.

    A report that was passed on without its detections keeps what was made of them.

    Args:
        study_dir: A folder that `run-study` wrote.
        resamples: Bootstrap resamples over images.
        seed: Of the resampling.

    Raises:
        FpnProbeError: If the folder, its annotations or its detections cannot be read.
    """
    study = read_study(study_dir)
    gone = [cell for cell in study.cells if not cell.detections.exists()]
    stored = "comparison" in study.evidence
    tables_stay = bool(gone) and stored and len(gone) == len(study.cells)
    if gone and not tables_stay:
        raise FpnProbeError(
            f"{gone[0].detections} is gone, with {len(gone)} of {len(study.cells)} cells' "
            "detections, so they cannot be compared: run them again with --fresh"
        )
    evidence = {} if tables_stay else tables(study, resamples=resamples, seed=seed)
    association, points = associations(study)
    evidence |= {"association": association, "association_points": points}
    for name, table in evidence.items():
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        atomic.write_bytes(study.folder / EVIDENCE / f"{name}.parquet", buffer.getvalue())
    if not tables_stay:
        write_origin(study.folder, [(cell.variant, cell.seed) for cell in study.cells])


def write_origin(study_dir: Path, cells: Collection[tuple[str, int]]) -> None:
    """Write the keys of the cells, by variant and seed, that the evidence rests on."""
    keys = {
        cell.title: cell.manifest.get("key")
        for cell in StoredStudy.read(study_dir).cells
        if (cell.variant, cell.seed) in cells
    }
    atomic.write_json(study_dir / EVIDENCE / CELLS, keys)


def tables(study: FinishedStudy, *, resamples: int, seed: int) -> dict[str, pd.DataFrame]:
    """Make the tables of detections, by file name; empty, with columns, where no cell is done."""
    runs: dict[tuple[str, int], Resampled] = {}
    runs_by_iou_type: dict[str, dict[tuple[str, int], Resampled]] = {
        k: {} for k in study.iou_types[1:]
    }
    errors = []
    truth = _ground_truth(study)
    if truth is not None:
        counts = resample_counts(len(truth.image_ids), resamples=resamples, seed=seed)
        for cell in study.cells:
            detections = Detections.of(cell.detections, ground_truth=truth, iou_type=study.iou_type)
            runs[cell.variant, cell.seed] = resample(
                truth, detections, counts=counts, iou_type=study.iou_type, buckets=study.buckets
            )
            mistakes = error_types(
                truth, detections, iou_type=study.iou_type, buckets=study.buckets
            )
            errors.append(mistakes.assign(variant=cell.variant, seed=str(cell.seed)))
            for iou_type, judged in runs_by_iou_type.items():
                detections = Detections.of(cell.detections, ground_truth=truth, iou_type=iou_type)
                judged[cell.variant, cell.seed] = resample(
                    truth, detections, counts=counts, iou_type=iou_type, buckets=study.buckets
                )
    together = Runs(
        runs=runs,
        variants=study.variants,
        bins=bin_table(truth, size_edges(study.buckets)) if truth is not None else None,
        images=len(truth.image_ids) if truth is not None else 0,
        seed=seed,
    )
    columns = ["variant", "seed", "bucket", "error", "d_ap", "count"]
    return {
        "comparison": compared(together, study.pairs()),
        **{
            comparison_name(study, iou_type): compared(
                replace(together, runs=judged), study.pairs()
            )
            for iou_type, judged in runs_by_iou_type.items()
        },
        "size_curve": curves(together),
        "size_difference": curve_differences(together, study.pairs()),
        "seeds": seed_table(together),
        "errors": pd.concat(errors, ignore_index=True)[columns]
        if errors
        else pd.DataFrame(columns=columns),
    }


def _ground_truth(study: FinishedStudy) -> GroundTruth | None:
    files = sorted({cell.annotations for cell in study.cells})
    if len(files) > 1:
        are_runs = not (study.folder / STUDY).is_file()
        fix = (
            "train both on one --data DIR to compare their AP"
            if are_runs
            else "run the study again with --fresh"
        )
        variants = sorted({cell.variant for cell in study.cells})
        names = ", ".join(variants) if are_runs else f"cells of {study.folder}"
        raise FpnProbeError(
            f"{names} were evaluated on different annotations ({', '.join(files)}): differences "
            f"need the same; {fix}"
        )
    if not files:
        return None
    area = next((cell.area for cell in study.cells if cell.area), None)
    return GroundTruth.of(files[0], iou_type=study.iou_type, area=area)
