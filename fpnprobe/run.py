"""A run opened for reading: `fpnprobe.open("reports/quickstart")`."""

import functools
import html
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fpnprobe.attribution.table import COLUMNS
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, name_metric
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.cell_state import State
from fpnprobe.store.feature_maps import Features, stored_images
from fpnprobe.store.runs import is_run
from fpnprobe.store.study import STUDY, StoredStudy, read_cell
from fpnprobe.store.tables import read_parquet

if TYPE_CHECKING:
    from fpnprobe.mm.inspect.attribution.explain import Attribution
    from fpnprobe.mm.inspect.trained_cell import TrainedCell
    from fpnprobe.notebook.drawing import Drawing
    from fpnprobe.report.page.content import Report
    from fpnprobe.report.tables.read_studies import Stored


def compare_runs(a: str | Path, b: str | Path, **options: Any) -> Any:
    """Compare two cells, two runs, or two detection files on the same images.

    Options are those of `fpnprobe.evaluation.compare_runs`; for variants of one study with all
    their seeds, `fpnprobe.open(STUDY).compare("DC5", "FPN")`.
    """
    from fpnprobe.evaluation import compare_runs

    return compare_runs(a, b, **options)


def open_run(path: str | Path) -> "Run":
    """Open the folder of a study, of one of its cells, or of a training with the probe.

    Finished or not; a tree with several trainings is one run of several cells.

    Nothing is read before it is asked for, and what is not there yet is empty.

    Raises:
        FpnProbeError: If the folder is neither.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file() or is_run(folder):
        return Run(folder, (read_cell(folder),))
    try:
        stored = StoredStudy.read(folder)
    except FpnProbeError:
        raise FpnProbeError(
            f"{folder} is not a run: expected the folder of a study (study.json, cells/), of a "
            "cell (manifest.json), such as reports/quickstart, or the work_dir of a training with "
            "the probe (ledger.parquet)"
        ) from None
    return Run(folder, tuple(cell for cell in stored.cells if cell.state is not State.PENDING))


@dataclass(frozen=True)
class Run:
    """Everything that a study or a cell has left on disk.

    The tables of a study leave out cells that are stale or damaged: their results are of other
    settings than the study's. Their own folder, opened by itself, still shows what is in it.

    Attributes:
        folder: Where.
        cells: Its cells (one variant and one seed each) that were begun, with their states.
    """

    folder: Path
    cells: tuple[StoredCell, ...]
    _opened: dict[Path, "TrainedCell"] = field(default_factory=dict, repr=False, compare=False)

    def select(self, *, variant: str | None = None, seed: int | None = None) -> "Run":
        """The same run, of one variant or one seed only.

        Raises:
            FpnProbeError: If it has no such cell.
        """
        cells = tuple(
            cell
            for cell in self.cells
            if variant in (None, cell.variant) and seed in (None, cell.seed)
        )
        if not cells:
            names = ", ".join(f"{cell.variant} seed {cell.seed}" for cell in self.cells)
            raise FpnProbeError(
                f"no cell of variant {variant!r} and seed {seed!r} in {self.folder}: expected one "
                f"of {names or 'none yet'}"
            )
        return replace(self, cells=cells)

    @functools.cached_property
    def ledger(self) -> Ledger:
        """The gradient records of all cells that have any, up to their last probed iteration."""
        ledgers = []
        for cell in self._readable:
            try:
                ledgers.append(Ledger.read(cell.folder))
            except FpnProbeError:
                if (cell.folder / "ledger.parquet").exists():
                    raise
        return Ledger.concat(ledgers)

    @functools.cached_property
    def evaluation(self) -> pd.DataFrame:
        """One row per cell and metric: study, variant, seed, metric, value in [0, 1], ..."""
        return self._read_tables(
            "evaluation.parquet", ["study", "variant", "seed", "metric", "value"]
        )

    @functools.cached_property
    def attribution(self) -> pd.DataFrame:
        """The shares that `fpnprobe attribute` has stored, columns of `attribution.table`."""
        return self._read_tables("attribution.parquet", list(COLUMNS))

    @property
    def buckets(self) -> tuple[ScaleBucket, ...]:
        """The study's scale buckets, by its first readable manifest."""
        for cell in self.cells:
            if cell.config:
                return cell.buckets
        return COCO_BUCKETS

    @property
    def images(self) -> tuple[int, ...]:
        """The ids of the images whose features are stored."""
        image_ids = {i for cell in self._readable for i in stored_images(cell.features)}
        return tuple(sorted(image_ids))

    def features(self, image_id: int) -> Features:
        """Return the stored maps of one image; `select` a cell first where there are several.

        Raises:
            FpnProbeError: If there are none, naming the images that have some.
        """
        files = [cell.features / f"{image_id}.npz" for cell in self._readable]
        files = [file for file in files if file.is_file()]
        if not files:
            image_ids = ", ".join(map(str, self.images)) or "none yet"
            raise FpnProbeError(
                f"no features of image {image_id} in {self.folder}: expected one of {image_ids}"
            )
        if len(files) > 1:
            raise FpnProbeError(
                f"{len(files)} cells have features of image {image_id}: choose one, such as "
                f"run.select(variant={self.cells[0].variant!r}, seed={self.cells[0].seed})"
            )
        return Features.read(files[0])

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
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of the report, and the table behind every figure, by name."""
        blocks = [(figure.name, figure.table) for figure in self._report.figures()]
        return dict([*blocks, *((table.name, table.frame) for table in self._report.tables())])

    @property
    def claims(self) -> pd.DataFrame:
        """The paper's claims with their verdicts, those that this run tests first."""
        from fpnprobe.notebook.questions import claims_table

        return claims_table(self._report.claims)

    @functools.cached_property
    def training(self) -> pd.DataFrame:
        """Losses, learning rate and other scalars: variant, seed, iteration, name, value."""
        from fpnprobe.notebook.questions import training_table

        return training_table(self._readable)

    @functools.cached_property
    def detections(self) -> pd.DataFrame:
        """Every stored detection with class, score and box; numbered as `attribute` does."""
        from fpnprobe.notebook.questions import detection_table

        return detection_table(self._readable)

    def share(
        self,
        *,
        tap: str = "C2",
        bucket: str = "large",
        route: str = "total",
        over_training: bool = False,
    ) -> pd.DataFrame:
        """Share of the squared gradient norm at a stage that objects of a size hold, in [0, 1].

        Args:
            tap: stage, such as `C2`.
            bucket: size.
            route: `total`, `direct`, `auxiliary` or `deeper`.
            over_training: each stretch of training and seed; else a row per variant with its 95 %
                interval, the number of the report.

        Raises:
            FpnProbeError: for what was not measured, with what was.
        """
        from fpnprobe.notebook.questions import share_table

        return share_table(
            self._stored, tap=tap, bucket=bucket, route=route, over_training=over_training
        )

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """What variant `b` gains over `a` in AP points, over all seeds, with 95 % intervals.

        From what the study has stored: neither detections nor images are needed.

        Raises:
            FpnProbeError: for a variant that was not compared.
        """
        from fpnprobe.notebook.questions import differences

        return differences(self._stored.evidence.get("comparison"), a, b)

    def name_metric(self, metric: str) -> str:
        """A metric with the bounds of its object size, unless they are COCO's."""
        return name_metric(metric, self.buckets)

    def rests_on(self, level: str, *, bucket: str = "large", top: int = 10) -> pd.DataFrame:
        """The attributed detections of a size whose class score rests most on a stage or level.

        Raises:
            FpnProbeError: if nothing was attributed to it.
        """
        from fpnprobe.notebook.questions import resting_on

        return resting_on(self.attribution, level, bucket=bucket, top=top)

    def view(self) -> Any:
        """Shares by stage and route with a slider over training; static without ipywidgets."""
        from fpnprobe.notebook.view import view

        return view(self._stored)

    @functools.cached_property
    def _stored(self) -> "Stored":
        from fpnprobe.report.tables.read_studies import read

        return read([self.folder])

    @functools.cached_property
    def _report(self) -> "Report":
        from fpnprobe.report.build import compose
        from fpnprobe.report.sections import claims

        studies = [self.folder] if (self.folder / STUDY).is_file() else []
        return compose(self._stored, claims.judged(studies, []))

    def __repr__(self) -> str:
        states: dict[str, int] = {}
        for cell in self.cells:
            states[cell.state] = states.get(cell.state, 0) + 1
        counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "no cells"
        variants = ", ".join(dict.fromkeys(cell.variant for cell in self.cells)) or "none"
        return f"Run({self.folder}, variants: {variants}, cells: {counts})"

    def _repr_html_(self) -> str:
        table = pd.DataFrame(
            [(c.variant, c.seed, c.state) for c in self.cells], columns=["variant", "seed", "state"]
        )
        metrics = self.evaluation
        if len(metrics):
            cells = metrics.groupby(["variant", "seed"])["iteration"]
            metrics = metrics[metrics["iteration"] == cells.transform("max")]
            wide = metrics.pivot_table(index=["variant", "seed"], columns="metric", values="value")
            metric_names = [name for name in ("AP", "AP_S", "AP_M", "AP_L") if name in wide.columns]
            table = table.merge(
                wide[metric_names].reset_index(), how="left", on=["variant", "seed"]
            )
        body = table.to_html(index=False, float_format="{:.3f}".format, na_rep="")
        return f"<p><b>{html.escape(str(self.folder))}</b></p>{body}"

    @property
    def _readable(self) -> tuple[StoredCell, ...]:
        if (self.folder / MANIFEST).is_file():
            return self.cells
        return tuple(cell for cell in self.cells if cell.belongs_to_study)

    def _read_tables(self, name: str, columns: list[str]) -> pd.DataFrame:
        frames = []
        for cell in self._readable:
            if not (cell.folder / name).is_file():
                continue
            frames.append(read_parquet(cell.folder / name))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
