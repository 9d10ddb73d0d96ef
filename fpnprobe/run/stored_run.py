"""Tables that a run has left on disk: read when they are asked for, empty where missing."""

import functools
import html
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pandas as pd

from fpnprobe.attribution.table import COLUMNS
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, name_metric
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.feature_maps import Features, stored_images
from fpnprobe.store.tables import read_parquet


@dataclass(frozen=True)
class StoredRun:
    """The ledger, AP, attribution, features, training and detections of some cells.

    Attributes:
        folder: Where.
        cells: Its cells (one variant and one seed each) that were begun, with their states.
    """

    folder: Path
    cells: tuple[StoredCell, ...]

    def select(self, *, variant: str | None = None, seed: int | None = None) -> Self:
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

    def name_metric(self, metric: str) -> str:
        """A metric with the bounds of its object size, unless they are COCO's."""
        return name_metric(metric, self.buckets)

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
            points = (100 * wide[metric_names]).rename(columns=self.name_metric)
            table = table.merge(points.reset_index(), how="left", on=["variant", "seed"])
        body = table.to_html(index=False, float_format="{:.1f}".format, na_rep="")
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
