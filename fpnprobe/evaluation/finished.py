"""The finished cells of a study's output folder, as the evidence needs them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from fpnprobe import places
from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation.twins import Intervened, intervened
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets


@dataclass(frozen=True, slots=True)
class FinishedCell:
    """One variant and seed that was trained and evaluated."""

    variant: str
    seed: int
    folder: Path
    annotations: str

    @property
    def detections(self) -> Path:
        """Stored COCO results of the cell."""
        return self.folder / "detections.json.gz"


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """What `study.json` and the manifests say, in the order of the study."""

    name: str
    folder: Path
    content: Mapping[str, Any]
    variants: tuple[str, ...]
    buckets: tuple[ScaleBucket, ...]
    iou_types: tuple[str, ...]
    cells: tuple[FinishedCell, ...]

    @property
    def iou_type(self) -> str:
        """Boxes or masks: the kind that figures and tables of evidence are about."""
        return self.iou_types[0]

    def seeds(self, variant: str) -> dict[int, FinishedCell]:
        """The variant's finished cells by seed."""
        return {cell.seed: cell for cell in self.cells if cell.variant == variant}

    def pairs(self) -> list[tuple[str, str]]:
        """(variant, baseline): the baseline comes earlier, or is an intervention's twin."""
        twins = {each.variant: each.twin for each in self.intervened()}
        found = []
        for first, second in combinations(self.variants, 2):
            swap = second in (twins.get(first), first.split("~")[0])
            found.append((first, second) if swap else (second, first))
        return found

    def intervened(self) -> list[Intervened]:
        """The variants whose backward pass is changed, with their untouched twins."""
        return intervened(self.content)


def read_study(study_dir: str | Path) -> FinishedStudy:
    """Read `study.json` and the manifests of cells that are done.

    A cell of other settings, data or code than `study.json` tells of (stale) is not the study's.

    Raises:
        FpnProbeError: if the folder is not a study's output.
    """
    folder = Path(study_dir)
    content = _json(folder / "study.json")
    if content is None:
        raise FpnProbeError(
            f"{folder} holds no readable study.json: give the folder that run-study wrote"
        )
    cells, wanted = [], _keys(content)
    for path in sorted(folder.glob("cells/*/*/manifest.json")):
        manifest = _json(path)
        if manifest is None or manifest.get("state") != "done":
            continue
        place = str(manifest["variant"]), int(manifest["seed"])
        if manifest.get("key") != wanted.get(place, manifest.get("key")):
            continue  # stale: results of different settings are not compared
        cells.append(
            FinishedCell(
                variant=place[0],
                seed=place[1],
                folder=path.parent,
                annotations=str(places.found(str(manifest.get("annotations", "")), study=folder)),
            )
        )
    order = list(dict.fromkeys([*_names(content), *(cell.variant for cell in cells)]))
    cells.sort(key=lambda cell: (order.index(cell.variant), cell.seed))
    given = (content.get("evaluation") or {}).get("iou_type") or "bbox"
    return FinishedStudy(
        name=str(content.get("name") or folder.name),
        folder=folder,
        content=content,
        variants=tuple(order),
        buckets=buckets_of(content),
        iou_types=(given,) if isinstance(given, str) else tuple(str(each) for each in given),
        cells=tuple(cells),
    )


def comparison_name(study: FinishedStudy, iou_type: str) -> str:
    """Name of the evidence that holds the differences of boxes or of masks.

    What a study judges first is in `comparison`, a second kind in a file named after it.
    """
    return "comparison" if iou_type == study.iou_type else f"comparison_{iou_type}"


def read_run(folder: str | Path) -> tuple[FinishedCell, FinishedStudy]:
    """A cell folder (`cells/<variant>/seed-<n>`) and its study.

    Raises:
        FpnProbeError: if it is not the folder of a finished cell.
    """
    path = Path(folder).resolve()
    if len(path.parts) > 3 and (path.parents[2] / "study.json").exists():
        study = read_study(path.parents[2])
        for cell in study.cells:
            if cell.folder.resolve() == path:
                return cell, study
    raise FpnProbeError(
        f"{folder} is not a finished run: expected a folder such as "
        "reports/quickstart/cells/fpn/seed-0 of a cell that is done and not stale, or a "
        "detection file"
    )


def buckets_of(content: Mapping[str, Any]) -> tuple[ScaleBucket, ...]:
    """The study's buckets; COCO's where it names none."""
    given = content.get("buckets") or ()
    if not given:
        return COCO_BUCKETS
    return check_buckets(
        [
            ScaleBucket(str(name), float(low), float("inf") if high is None else float(high))
            for name, low, high in given
        ]
    )


def _keys(content: Mapping[str, Any]) -> dict[tuple[str, int], str]:
    """Key of every cell that the study names."""
    return {
        (str(cell["variant"]), int(cell["seed"])): str(cell["key"])
        for cell in content.get("cells") or ()
        if isinstance(cell, Mapping) and {"variant", "seed", "key"} <= set(cell)
    }


def _names(content: Mapping[str, Any]) -> list[str]:
    return [
        str(variant["name"]) if isinstance(variant, Mapping) else str(variant)
        for variant in content.get("variants") or ()
    ]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
