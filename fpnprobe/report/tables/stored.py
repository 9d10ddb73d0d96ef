"""All tables of one or several studies, as the sections of a report read them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fpnprobe.figures.palette import variant_colors
from fpnprobe.report.tables.cells import Cell
from fpnprobe.report.tables.gradients import CellGradients
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, name_metric


@dataclass(frozen=True, slots=True)
class Stored:
    """All tables of one or several studies; `label` columns name a variant within the report.

    `gradients` are those of the trainings' own samples; `ends` those of the same images in every
    cell, with the weights at the end of its training. `training` holds the scalars of the
    trainings, `kept` the measurements of kept weights (`fpnprobe.report.tables.snapshots`);
    `holes` are sentences about what is missing or cannot be read.
    """

    studies: Sequence[Mapping[str, Any]]
    cells: Sequence[Cell]
    evaluation: pd.DataFrame
    gradients: CellGradients
    ends: CellGradients
    evidence: Mapping[str, pd.DataFrame]
    training: pd.DataFrame
    kept: pd.DataFrame
    holes: list[str]
    scale_buckets: tuple[ScaleBucket, ...] = COCO_BUCKETS

    @property
    def variants(self) -> list[str]:
        """Variants in the order of the studies."""
        return list(dict.fromkeys(cell.variant for cell in self.cells))

    @property
    def buckets(self) -> list[str]:
        """Names of the object buckets from small to large: the study's order, else COCO's."""
        return [bucket.name for bucket in self.scale_buckets]

    def name_metric(self, metric: str) -> str:
        """Name a metric with the bounds of its object size, unless they are COCO's."""
        return name_metric(metric, self.scale_buckets)

    def add_bounds(self, text: str) -> str:
        """The text with `name_metric` in place of each AP by size."""
        return re.sub(r"\bAP_[SML]\b(?! \()", lambda name: self.name_metric(name[0]), text)

    @property
    def compares_with_paper(self) -> bool:
        """Whether AP by size may stand beside the paper's: COCO's bounds, or a written reason."""
        return self.scale_buckets == COCO_BUCKETS or bool(self.reason_to_compare)

    @property
    def reason_to_compare(self) -> str:
        """The reason to set sizes with other bounds than COCO's beside the paper's; else empty."""
        reasons = {str(study.get("compare_with_paper") or "") for study in self.studies}
        return " ".join(sorted(reasons)) if "" not in reasons else ""

    @property
    def colors(self) -> dict[str, str]:
        """Color of every variant."""
        return variant_colors(self.variants)

    @property
    def iou_type(self) -> str:
        """The kind that the studies judge: "bbox" where any cell has it, else "segm"."""
        kinds = set(self.evaluation["iou_type"]) or {"bbox"}
        return "bbox" if "bbox" in kinds else str(min(kinds))

    @property
    def is_of_runs(self) -> bool:
        """Whether no study is among them: trainings with a probe alone."""
        return all(study.get("kind") == "runs" for study in self.studies)

    @property
    def measures_ends(self) -> bool:
        """Whether every variant with a ledger was also measured on the same images at the end."""
        if self.ends.shares.empty or self.gradients.shares.empty:
            return not self.ends.shares.empty
        return set(self.gradients.shares["variant"]) <= set(self.ends.shares["variant"])

    @property
    def stage_gradients(self) -> CellGradients:
        """The measurement behind every statement on a stage's shares.

        The same images at the end of training, if all variants have them, else the trainings' own
        samples.
        """
        return self.ends if self.measures_ends else self.gradients

    @property
    def done(self) -> list[Cell]:
        """Cells that finished."""
        return [cell for cell in self.cells if cell.state == "done"]
