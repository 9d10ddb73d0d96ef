"""What the paper says, what a study measured, and the verdict, by a rule that is written down."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence.finished_cells import FinishedStudy, comparison_name, read_study
from fpnprobe.evidence.published import PublishedClaim, backbone_kin, claims, detector_name

Verdict = Literal["reproduced", "contradicted", "undecided", "not run"]

_NONE = pd.DataFrame()
EQUAL = 0.5  # AP points within which a difference counts as none
RULE = (
    "A claim is a difference in AP points between two variants of one framework; its direction is "
    "tested, not its size, since data, backbone and schedule differ from the paper's. The 95 % "
    "interval is a hierarchical bootstrap over seeds and validation images. 'reproduced': the "
    "interval excludes 0 on the paper's side; 'contradicted': it excludes 0 on the other side; "
    "'undecided': it holds 0, or there is one seed only; 'not run': the study lacks the framework, "
    "a variant or the metric. Where the paper prints no change, 'reproduced' needs the interval "
    f"within {EQUAL} points of 0, and 'contradicted' an interval wholly beyond them."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of `claims.json`; differences in AP points, NaN where not run.

    `paper` is the printed difference under `baseline_name`; `measured`, `low` and `high` are the
    study's, `covers` what the interval covers, `seeds` how many each side has.
    """

    statement: str
    detector: str
    backbone: str
    variant: str
    baseline: str
    baseline_name: str
    metric: str
    iou_type: str
    source: str
    paper: float
    measured: float
    low: float
    high: float
    covers: str
    seeds: int
    verdict: Verdict
    note: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def judge(study_dir: str | Path) -> list[Claim]:
    """Judge every published claim by the study's stored evidence; those that were run come first.

    Raises:
        FpnProbeError: if the folder is not a study's output or its evidence cannot be read.
    """
    study = read_study(study_dir)
    tables = {iou_type: _comparison(study, iou_type) for iou_type in study.iou_types}
    found = [_judged(claim, study, tables.get(claim.iou_type, _NONE)) for claim in claims()]
    return sorted(found, key=lambda claim: claim.verdict == "not run")


def _comparison(study: FinishedStudy, iou_type: str) -> pd.DataFrame:
    """The stored differences of boxes or of masks; empty where none are."""
    file = study.folder / "evidence" / f"{comparison_name(study, iou_type)}.parquet"
    try:
        return pd.read_parquet(file) if file.exists() else _NONE
    except (OSError, ValueError) as error:
        raise FpnProbeError(f"{file} cannot be read ({error}): run the study again") from error


def verdict(*, paper: float, low: float, high: float) -> Verdict:
    """The verdict of an interval on a printed difference, both in AP points, by `RULE`.

    >>> verdict(paper=2.1, low=0.4, high=3.0), verdict(paper=2.1, low=-3.0, high=-0.4)
    ('reproduced', 'contradicted')
    >>> verdict(paper=2.1, low=-1.0, high=3.0), verdict(paper=0.0, low=-0.3, high=0.2)
    ('undecided', 'reproduced')
    """
    if paper == 0:
        if max(abs(low), abs(high)) <= EQUAL:
            return "reproduced"
        return "contradicted" if low > EQUAL or high < -EQUAL else "undecided"
    if low > 0 or high < 0:
        return "reproduced" if (low > 0) == (paper > 0) else "contradicted"
    return "undecided"


def _judged(claim: PublishedClaim, study: FinishedStudy, table: pd.DataFrame) -> Claim:
    missing = _missing(claim, study)
    rows = _rows(claim, table) if not missing else {}
    nan = float("nan")
    measured, low, high, covers, seeds = nan, nan, nan, "", 0
    result: Verdict = "not run"
    note = missing or ("" if rows else f"no finished cells of {claim.variant} and {claim.baseline}")
    if rows:
        seeds = int(rows["images"]["n_seeds"])
        covers = "both" if seeds > 1 else "images"
        row = rows[covers]
        measured, low, high = (100 * float(row[key]) for key in ("difference", "low", "high"))
        if low != low:
            note = f"{claim.metric} could not be evaluated"
        elif seeds < 2:
            result, note = "undecided", "one seed: how much training itself varies is unknown"
        else:
            result = verdict(paper=claim.paper, low=low, high=high)
    return Claim(
        statement=(
            f"{claim.detector} {claim.backbone}: {claim.variant} changes {claim.metric} by "
            f"{claim.paper:+.1f} against {claim.baseline_name}"
        ),
        detector=claim.detector,
        backbone=claim.backbone,
        variant=claim.variant,
        baseline=claim.baseline,
        baseline_name=claim.baseline_name,
        metric=claim.metric,
        iou_type=claim.iou_type,
        source=claim.source,
        paper=claim.paper,
        measured=measured,
        low=low,
        high=high,
        covers=covers,
        seeds=seeds,
        verdict=result,
        note=note,
    )


def _missing(claim: PublishedClaim, study: FinishedStudy) -> str:
    """Why the study cannot test the claim; empty if it can."""
    detector: Mapping[str, Any] = study.content.get("detector") or {}
    given = str(detector.get("framework") or detector.get("config") or "")
    if detector_name(given) != claim.detector:
        return f"the study's detector is {given or 'unknown'}"
    if backbone_kin(given) != backbone_kin(claim.backbone):
        return f"the claim is about {claim.backbone}, the study's detector is {given}"
    if claim.iou_type not in study.iou_types:
        judged = " and ".join(study.iou_types)
        return f"the study evaluates {judged}, the claim is about {claim.iou_type}"
    absent = [name for name in (claim.variant, claim.baseline) if name not in study.variants]
    return f"the study has no {' and no '.join(absent)}" if absent else ""


def _rows(claim: PublishedClaim, table: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    """The comparison's rows over all seeds by what their interval covers, with the claim's sign."""
    if table.empty:
        return {}
    table = table[(table["seed"] == "all") & (table["metric"] == claim.metric)]
    for variant, baseline, turned in (
        (claim.variant, claim.baseline, False),
        (claim.baseline, claim.variant, True),
    ):
        here = table[(table["variant"] == variant) & (table["baseline"] == baseline)]
        rows = [{str(k): v for k, v in row.items()} for row in here.to_dict("records")]
        if rows:
            return {str(row["source"]): _turned(row) if turned else row for row in rows}
    return {}


def _turned(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
