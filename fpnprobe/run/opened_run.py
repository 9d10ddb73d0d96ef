"""A run as `fpnprobe.open` gives it: its tables, and the questions that can be asked of them."""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.run.stored_run import StoredRun
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store.study import STUDY

if TYPE_CHECKING:
    from fpnprobe.mm.inspect.attribution.result import Attribution
    from fpnprobe.mm.inspect.trained_cell import TrainedCell
    from fpnprobe.notebook.drawing import Drawing
    from fpnprobe.notebook.named_tables import NamedTables
    from fpnprobe.report.page.content import Report
    from fpnprobe.report.tables.stored import Stored


@dataclass(frozen=True, repr=False)
class Run(StoredRun):
    """Everything that a study or a cell has left on disk, and what follows from it.

    The tables of a study leave out cells that are stale or damaged: their results are of other
    settings than the study's. Their own folder, opened by itself, still shows what is in it.

    Attributes:
        folder: Where.
        cells: Its cells (one variant and one seed each) that were begun, with their states.
    """

    _opened: dict[Path, "TrainedCell"] = field(default_factory=dict, repr=False, compare=False)

    def attribute(
        self,
        image_id: int | None = None,
        *,
        detection: int | None = None,
        object: int | None = None,
        bucket: str | None = None,
        **options: Any,
    ) -> "Attribution":
        """Attribute a detection, an object, a bucket, or (by default) each object of an image.

        Args:
            image_id: Of the annotation file; the first validation image by default.
            detection: Number of a detection, 0 is the most confident.
            object: Number of a ground-truth object of the image.
            bucket: Name of a bucket, all of whose objects become one number.
            options: `method`, `at`, `steps`, `internal_batch_size` of
                `fpnprobe.attribution.methods.attribute`.

        Raises:
            FpnProbeError: Without a single trained cell (see `select`), or for a target that the
                image does not have.
        """
        from fpnprobe.mm.inspect.attribution.explain_image import ask

        return ask(
            self.trained(),
            image_id,
            detection=detection,
            object=object,
            bucket=bucket,
            **options,
        )

    def trained(self, *, trust: bool = False) -> "TrainedCell":
        """The one cell of this run with its detector loaded.

        Args:
            trust: Whether modules and config files that its manifest names are executed.

        Raises:
            FpnProbeError: If the run has several cells or none, or the cell no checkpoint.
        """
        from fpnprobe.mm.inspect.trained_cell import TrainedCell

        if len(self.cells) != 1:
            example = next((f"{c.variant!r}, seed={c.seed}" for c in self.cells), "'FPN', seed=0")
            raise FpnProbeError(
                f"{self.folder} has {len(self.cells)} cells, expected one: "
                f"run.select(variant={example})"
            )
        folder = self.cells[0].folder
        if folder not in self._opened:
            self._opened[folder] = TrainedCell.open(folder, trust=trust)
        return self._opened[folder]

    def figure(self, name: str) -> "Drawing":
        """A figure of the report, drawn from the stored tables; shows itself in Jupyter.

        Args:
            name: One of `figures`, such as `routes`, or `fig2` for Figure 2 of the paper.

        Raises:
            FpnProbeError: For an unknown name, with those that this run has.
        """
        from fpnprobe.notebook.drawing import Drawing

        figures = {figure.name: figure for figure in self._report.figures()}
        name = re.sub(r"^fig(ure)?[ _-]?(\d+)$", r"figure-\2", name.lower())
        if name not in figures:
            raise FpnProbeError(
                f"no figure {name!r} in {self.folder}: expected {', '.join(figures) or 'none yet'}"
            )
        return Drawing(figures[name])

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that this run has, for `figure`."""
        return tuple(figure.name for figure in self._report.figures())

    @property
    def tables(self) -> "NamedTables":
        """Every table of the report and behind its figures; a wrong name gets the nearest."""
        from fpnprobe.notebook.named_tables import NamedTables

        return NamedTables.of(self._report)

    @property
    def claims(self) -> pd.DataFrame:
        """The paper's claims with their verdicts, those that this run tests first."""
        from fpnprobe.notebook.questions import claims_table

        return claims_table(self._report.claims)

    def share(
        self,
        tap: str = "C2",
        bucket: str = "large",
        route: str = "total",
        *,
        over_training: bool = False,
    ) -> pd.DataFrame:
        """Share of the squared gradient norm at a stage that objects of a size hold, in [0, 1].

        Columns `tap`, `bucket` and `route` say what each number is of.

        Args:
            tap: Stage, such as `C2`.
            bucket: Size.
            route: `total`, `direct`, `auxiliary` or `deeper`.
            over_training: Each stretch of training and seed; else a row per variant with its 95 %
                interval and `state`: `measured`, `would_arrive` (frozen), `absent` (no object) or
                `empty` (nothing arrives by the route, so it has no shares: NaN).

        Raises:
            FpnProbeError: For what was not measured, with what was.
        """
        from fpnprobe.notebook.questions import share_table

        return share_table(
            self._stored, tap=tap, bucket=bucket, route=route, over_training=over_training
        )

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Return what variant `b` gains over `a` in AP points, over all seeds, with 95 % intervals.

        From what the study has stored: neither detections nor images are needed. AP of `a` and of
        `b` stand in columns so called, their names in `baseline` and `variant`. Where AP by size
        has other bounds than COCO's, a column `named` has each metric with its bounds.

        Raises:
            FpnProbeError: For a variant that was not compared.
        """
        from fpnprobe.notebook.differences import differences

        table = differences(self._stored.evidence.get("comparison"), a, b)
        if self.buckets != COCO_BUCKETS:
            table["named"] = table["metric"].map(self.name_metric)
        return table

    def rests_on(self, level: str, *, bucket: str = "large", top: int = 10) -> pd.DataFrame:
        """The attributed detections of a size whose class score rests most on a stage or level.

        Those alone that rest on it at all: of a level that no such detection uses there are none.

        Raises:
            FpnProbeError: If nothing was attributed to it.
        """
        from fpnprobe.notebook.questions import resting_on

        return resting_on(self.attribution, level, bucket=bucket, top=top)

    def view(self) -> Any:
        """Return a slider, menus and detections to click; without ipywidgets a figure."""
        from fpnprobe.notebook.detection_view import choices
        from fpnprobe.notebook.view import view

        return view(
            self._stored,
            detections=choices(self.detections, self.images),
            attribution=self.attribution,
            picture=lambda row: self.select(variant=row["variant"], seed=row["seed"]).features(
                int(row["image_id"])
            ),
        )

    @functools.cached_property
    def _stored(self) -> "Stored":
        from fpnprobe.report.tables.read_studies import read

        return read([self.folder])

    @functools.cached_property
    def _report(self) -> "Report":
        from fpnprobe.report.compose import compose
        from fpnprobe.report.sections import claims

        studies = [self.folder] if (self.folder / STUDY).is_file() else []
        return compose(self._stored, claims.judged(studies, []))
