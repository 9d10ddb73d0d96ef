"""What a study left on disk, read without torch; whatever is missing is named, never fatal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.figures.palette import variant_colors
from fpnprobe.report.cells import Cell, in_order, label, plain, read_cell, read_json
from fpnprobe.report.ledgers import CellGradients, summarize
from fpnprobe.report.weights import kept_records, quantities
from fpnprobe.scales import COCO_BUCKETS

STRETCHES = 24
EVALUATION = ("study", "variant", "seed", "iteration", "iou_type", "metric", "value", "engine")


@dataclass(frozen=True, slots=True)
class Stored:
    """All tables of one or several studies; `label` columns name a variant within the report.

    `training` holds the scalars of the trainings, `kept` the measurements of kept weights
    (`fpnprobe.report.weights`); `holes` are sentences about what is missing or cannot be read.
    """

    studies: Sequence[Mapping[str, Any]]
    cells: Sequence[Cell]
    evaluation: pd.DataFrame
    gradients: CellGradients
    evidence: Mapping[str, pd.DataFrame]
    training: pd.DataFrame
    kept: pd.DataFrame
    holes: list[str]

    @property
    def variants(self) -> list[str]:
        """Variants in the order of the studies."""
        return list(dict.fromkeys(cell.variant for cell in self.cells))

    @property
    def buckets(self) -> list[str]:
        """Names of the object buckets from small to large: the study's order, else COCO's."""
        given: Any = self.studies[0].get("buckets") or ()
        named = [str(bucket[0]) for bucket in given if isinstance(bucket, list | tuple) and bucket]
        return named or [bucket.name for bucket in COCO_BUCKETS]

    @property
    def colors(self) -> dict[str, str]:
        """Color of every variant."""
        return variant_colors(self.variants)

    @property
    def iou_type(self) -> str:
        """What the studies judge, boxes or masks: "bbox" where any cell has it, else "segm"."""
        given = set(self.evaluation["iou_type"]) or {"bbox"}
        return "bbox" if "bbox" in given else str(min(given))

    @property
    def done(self) -> list[Cell]:
        """Cells that finished."""
        return [cell for cell in self.cells if cell.state == "done"]


def read(folders: Sequence[Path]) -> Stored:
    """Read study folders.

    Raises:
        FpnProbeError: if a folder is not a study (no `study.json` and no cell).
    """
    holes: list[str] = []
    studies: list[dict[str, Any]] = []
    cells: list[Cell] = []
    evaluations: list[pd.DataFrame] = []
    gradients: list[CellGradients] = []
    evidence: dict[str, list[pd.DataFrame]] = {}
    training: list[pd.DataFrame] = []
    kept: list[pd.DataFrame] = []
    contents = [_content(folder, holes) for folder in folders]
    for folder, name, study in zip(folders, _names(folders, contents), contents, strict=True):
        found = sorted(folder.glob("cells/*/*/manifest.json"))
        prefix = f"{name}: " if len(folders) > 1 else ""
        studies.append({**study, "name": name})
        here = [read_cell(path.parent, study, name, prefix, holes) for path in found]
        here = in_order(here, study, name, prefix, holes)
        cells += here
        for cell in here:
            if cell.folder is None or cell.state == "stale":
                continue  # results of different settings are not shown side by side
            evaluations += _evaluation(cell, holes)
            gradients += _gradients(cell, holes)
            training += _training(cell, holes)
            kept += kept_records(cell, holes)
        for path in sorted(folder.glob("evidence/*.parquet")):
            table = _parquet(path, holes)
            if table is not None:
                for column in {"variant", "baseline"} & set(table.columns):
                    table[column] = [prefix + label(v) for v in table[column]]
                table["study"] = name
                evidence.setdefault(path.stem, []).append(table)
    stored = Stored(
        studies=studies,
        cells=cells,
        evaluation=pd.concat(evaluations, ignore_index=True)
        if evaluations
        else pd.DataFrame(columns=list(EVALUATION)),
        gradients=CellGradients.joined(gradients),
        evidence={name: pd.concat(tables, ignore_index=True) for name, tables in evidence.items()},
        training=_averaged(training),
        kept=quantities(kept),
        holes=holes,
    )
    return replace(stored, gradients=stored.gradients.ordered(stored.buckets))


def _content(folder: Path, holes: list[str]) -> dict[str, Any]:
    """What `study.json` says of a folder that is a study's."""
    study = read_json(folder / "study.json", holes)
    if not study and not any(folder.glob("cells/*/*/manifest.json")):
        raise FpnProbeError(
            f"{folder} is not a study folder: expected study.json or cells/*/*/manifest.json; "
            "give the folder that run-study wrote"
        )
    return study


def _names(folders: Sequence[Path], contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the report calls each study: its name, or its folder where two have one name.

    Raises:
        FpnProbeError: if a folder is given twice.
    """
    given = [plain(c.get("name") or f.name) for f, c in zip(folders, contents, strict=True)]
    places = [folder.resolve() for folder in folders]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise FpnProbeError(f"{folders[at]} is given twice: give each study folder once")
    ends = [place.name for place in places]
    return [
        name
        if given.count(name) == 1
        else plain(place.name if ends.count(place.name) == 1 else place)
        for name, place in zip(given, places, strict=True)
    ]


def _parquet(path: Path, holes: list[str]) -> pd.DataFrame | None:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError):
        holes.append(f"{path.parent.name}/{path.name} is no readable parquet file")
        return None


def _evaluation(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    assert cell.folder is not None
    path = cell.folder / "evaluation.parquet"
    if not path.exists():
        holes.append(f"{cell.variant}, seed {cell.seed} has no evaluation: AP not measured")
        return []
    table = _parquet(path, holes)
    if table is None:
        return []
    table["study"], table["variant"], table["seed"] = cell.study, cell.variant, cell.seed
    return [table]


def _training(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    """Losses and other scalars of a cell, if it kept them: iteration, name, value."""
    assert cell.folder is not None
    path = cell.folder / "training.parquet"
    table = _parquet(path, holes) if path.exists() else None
    if table is None or not {"iteration", "name", "value"} <= set(table.columns):
        return []
    stretch = max(1, -(-int(table["iteration"].max() + 1) // STRETCHES))
    middle = (stretch - 1) / 2
    table = table.assign(iteration=table["iteration"] // stretch * stretch + middle)
    table = table.groupby(["name", "iteration"], sort=False)["value"].mean().reset_index()
    return [table.assign(variant=cell.variant)]


def _averaged(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=["variant", "name", "iteration", "value", "seeds"])
    keys = ["variant", "name", "iteration"]
    table = pd.concat(parts).groupby(keys, sort=False)["value"]
    return table.agg(value="mean", seeds="count").reset_index()


def _gradients(cell: Cell, holes: list[str]) -> list[CellGradients]:
    assert cell.folder is not None
    if not (cell.folder / "ledger.parquet").exists():
        holes.append(f"{cell.variant}, seed {cell.seed} has no ledger: gradients not measured")
        return []
    try:
        return [summarize(cell.folder, study=cell.study, variant=cell.variant, seed=cell.seed)]
    except FpnProbeError as error:
        holes.append(f"{cell.variant}, seed {cell.seed}: {plain(error)}")
    except (OSError, ValueError):
        holes.append(f"{cell.variant}, seed {cell.seed}: the ledger is no readable parquet file")
    return []
