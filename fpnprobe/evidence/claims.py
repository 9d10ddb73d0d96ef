"""The paper's claims against what a study measured, each with a verdict by a written rule."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.evidence.finished_cells import FinishedStudy, read_comparison, read_study
from fpnprobe.evidence.published import backbone_kin, detector_name
from fpnprobe.evidence.published_claims import PublishedClaim, claims
from fpnprobe.evidence.verdicts import (
    EQUAL,
    Verdict,
    direction,
    find_difference,
    holm,
    judge_difference,
)
from fpnprobe.scales import COCO_BUCKETS

_NONE = pd.DataFrame()
RULE = (
    "A claim is a difference in AP points between two variants of one framework, and it has one "
    "verdict however often the paper prints it; the printed numbers stand beside it. Only numbers "
    "that one table or figure prints, or the difference of two of its numbers, are claims. The "
    "direction is tested, not the size, since data, backbone and schedule differ from the paper's; "
    f"a printed difference of at most {EQUAL} points says no change. The 95 % interval is a "
    "hierarchical bootstrap over seeds and validation images. 'reproduced': the interval excludes "
    "0 on the paper's side; 'contradicted': it excludes 0 on the other side; 'undecided': it holds "
    "0, there is one seed only, or the paper prints different directions; 'not run': the study "
    "lacks the framework, a variant or the metric, or its object sizes have other bounds than "
    "COCO's. Where the paper prints no change, 'reproduced' needs the interval within "
    f"{EQUAL} points of 0, and 'contradicted' an interval wholly beyond them. The 95 % are "
    "those of each claim alone; 'p (Holm)' is corrected for all claims that were tested."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of `claims.json`; differences in AP points, NaN where not run.

    `printed` holds every place where the paper prints the difference, as `{source, backbone,
    baseline, paper}`; `measured`, `low` and `high` are the study's, `covers` what the interval
    covers, `seeds` how many each side has, `p` the p value of no difference and `p_holm` the same
    corrected for all claims that the study tests.
    """

    statement: str
    detector: str
    backbone: str
    variant: str
    baseline: str
    metric: str
    iou_type: str
    printed: tuple[Mapping[str, Any], ...]
    measured: float = math.nan
    low: float = math.nan
    high: float = math.nan
    covers: str = ""
    seeds: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    verdict: Verdict = "not run"
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values, NaN as None."""
        plain = {**asdict(self), "printed": [dict(row) for row in self.printed]}
        return {k: None if v != v else v for k, v in plain.items()}


def judge(study_dir: str | Path) -> list[Claim]:
    """Judge every published claim by the study's stored evidence; those that were run come first.

    Raises:
        FpnProbeError: If the folder is not a study's output or its evidence cannot be read.
    """
    study = read_study(study_dir)
    tables = {iou_type: read_comparison(study, iou_type) for iou_type in study.iou_types}
    judged = [
        _judge_claim(printed, study, tables.get(printed[0].iou_type, _NONE))
        for printed in group_claims()
    ]
    corrected = holm([claim.p for claim in judged])
    judged = [replace(claim, p_holm=p) for claim, p in zip(judged, corrected, strict=True)]
    return sorted(judged, key=lambda claim: claim.verdict == "not run")


def group_claims() -> list[list[PublishedClaim]]:
    """The published claims, those that one measurement of a study decides together."""
    groups: dict[tuple[str, ...], list[PublishedClaim]] = {}
    for claim in claims():
        kin = backbone_kin(claim.backbone)
        key = (claim.detector, kin, claim.variant, claim.baseline, claim.metric, claim.iou_type)
        groups.setdefault(key, []).append(claim)
    return list(groups.values())


def _judge_claim(printed: list[PublishedClaim], study: FinishedStudy, table: pd.DataFrame) -> Claim:
    first = printed[0]
    values = ", ".join(f"{claim_row.paper:+.1f} ({claim_row.source})" for claim_row in printed)
    backbones = " and ".join(dict.fromkeys(claim_row.backbone for claim_row in printed))
    claim = Claim(
        statement=(
            f"{first.detector} {backbones}: {first.variant} changes {first.metric} by {values} "
            f"against {first.baseline}"
        ),
        detector=first.detector,
        backbone=first.backbone,
        variant=first.variant,
        baseline=first.baseline,
        metric=first.metric,
        iou_type=first.iou_type,
        printed=tuple(claim_row.as_printed() for claim_row in printed),
    )
    if missing := _explain_untestable(first, study):
        return replace(claim, note=missing)
    measured = find_difference(
        table, variant=first.variant, baseline=first.baseline, metric=first.metric
    )
    if measured is None:
        return replace(claim, note=f"no finished cells of {first.variant} and {first.baseline}")
    directions = {direction(claim_row.paper) for claim_row in printed}
    verdict, note = judge_difference(
        measured, predicted=direction(first.paper), metric=first.metric
    )
    if len(directions) > 1 and verdict != "not run":
        verdict, note = "undecided", "the paper prints different directions"
    return replace(
        claim, measured=measured.difference, low=measured.low, high=measured.high,
        covers=measured.covers, seeds=measured.seeds, p=measured.p_value, verdict=verdict,
        note=note,
    )  # fmt: skip


def _explain_untestable(claim: PublishedClaim, study: FinishedStudy) -> str:
    """Explain why the study cannot test the claim; empty if it can."""
    detector_content: Mapping[str, Any] = study.content.get("detector") or {}
    detector = str(detector_content.get("framework") or detector_content.get("config") or "")
    if detector_name(detector) != claim.detector:
        return f"the study's detector is {detector or 'unknown'}"
    if backbone_kin(detector) != backbone_kin(claim.backbone):
        return f"the claim is about {claim.backbone}, the study's detector is {detector}"
    if claim.iou_type not in study.iou_types:
        judged = " and ".join(study.iou_types)
        return f"the study evaluates {judged}, the claim is about {claim.iou_type}"
    absent = [name for name in (claim.variant, claim.baseline) if name not in study.variants]
    if absent:
        return f"the study has no {' and no '.join(absent)}"
    if claim.metric != "AP" and study.buckets != COCO_BUCKETS and not study.compares_with_paper:
        return f"{claim.metric} of this study has other bounds than COCO's"
    return ""
