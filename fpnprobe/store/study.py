"""A study's folder: `study.json` and the cells it names, read without trusting either."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, stored_buckets
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.cell_state import NOT_ASKED_FOR, State
from fpnprobe.store.documents import MissingDocument, read_object
from fpnprobe.store.runs import describe_runs, find_runs, is_run, read_run, read_runs
from fpnprobe.store.study_repair import repair
from fpnprobe.suggestions import suggest
from fpnprobe.variants import slug

STUDY = "study.json"
EVIDENCE = "evidence"
CELLS = "cells.json"  # in the folder of the evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStudy:
    """A study and its cells as they were when they were read.

    Attributes:
        folder: Its output folder.
        content: `study.json`, without what is damaged in it; empty where there is none.
        cells: The study's cells in its order (also those that never started), then cells in the
            folder that the study does not name.
        problems: Sentences about what is damaged in `study.json`.
    """

    folder: Path
    content: Mapping[str, Any]
    cells: tuple[StoredCell, ...]
    problems: tuple[str, ...]

    @classmethod
    def read(cls, folder: str | Path, *, strict: bool = False) -> "StoredStudy":
        """Read a folder.

        Args:
            folder: The output folder of `run-study`, the work_dir of a training with the probe, or
                a tree with several.
            strict: Whether a `study.json` that is missing or damaged is an error; without, what
                can be read is read and the rest is named in `problems`.

        Raises:
            FpnProbeError: If it is not the folder of a study, or see `strict`.
        """
        root = Path(folder)
        try:
            content, problems = repair(read_object(root / STUDY))
        except MissingDocument:
            runs = [] if any(find_cell_folders(root)) else list(find_runs(root))
            if runs:
                return cls.of_runs(runs, name=root.absolute().name)
            if strict or not any(find_cell_folders(root)):
                raise FpnProbeError(_describe_absence(root)) from None
            content, problems = {}, ()
        except FpnProbeError as error:
            if strict:
                raise FpnProbeError(f"{error}: run `run-study` again") from None
            content, problems = {}, (str(error),)
        if strict and problems:
            raise FpnProbeError(f"{root / STUDY} is damaged: {problems[0]}; run `run-study` again")
        sentences = tuple(f"{STUDY}: {entry}" if content else entry for entry in problems)
        return cls(
            folder=root, content=content, cells=_read_cells(root, content), problems=sentences
        )

    @classmethod
    def of_runs(
        cls, folders: Sequence[str | Path], *, names: Sequence[str] = (), name: str = ""
    ) -> "StoredStudy":
        """Read folders with a ledger (`fpnprobe.store.runs`) as the cells of one study.

        Args:
            folders: Of trainings under the hook or `fpnprobe.watch`.
            names: What they are called; by default as they say themselves.
            name: Name of the study; by default that of the runs.

        Raises:
            FpnProbeError: See `read_runs`.
        """
        cells = read_runs(folders, names=names)
        title = name or " + ".join(dict.fromkeys(cell.variant for cell in cells))
        return cls(
            folder=Path(folders[0]),
            content=describe_runs(cells, title),
            cells=tuple(cells),
            problems=(),
        )

    @property
    def outdated_evidence(self) -> tuple[str, ...]:
        """Titles of the cells that the stored evidence rests on and that were trained anew since.

        What tells is `evidence/cells.json`; evidence of versions that wrote none is believed.
        """
        try:
            keys = read_object(self.folder / EVIDENCE / CELLS)
        except FpnProbeError:
            return ()
        return tuple(
            cell.title
            for cell in self.cells
            if (key := keys.get(cell.title)) is not None
            and (cell.state is State.PENDING or cell.manifest.get("key", key) != key)
        )

    @property
    def evidence_files(self) -> dict[str, Path]:
        """The tables that were derived of the cells, by name; none if those are not as then."""
        if self.is_of_runs or self.outdated_evidence:
            return {}
        return {file.stem: file for file in sorted((self.folder / EVIDENCE).glob("*.parquet"))}

    @property
    def is_of_runs(self) -> bool:
        """Whether it is made of runs that no study trained."""
        return self.content.get("kind") == "runs"

    @property
    def name(self) -> str:
        """The study's name; that of its folder where the file does not say."""
        return str(self.content.get("name") or self.folder.absolute().name)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants: in the study's order, then those of other cells."""
        names = [*_variant_names(self.content), *(cell.variant for cell in self.cells)]
        return tuple(dict.fromkeys(names))

    @property
    def buckets(self) -> tuple[ScaleBucket, ...]:
        """The study's scale buckets, COCO's where it names none."""
        if not self.content:
            bucket_sets = (cell.buckets for cell in self.cells if cell.config)
            return next(bucket_sets, COCO_BUCKETS)
        return stored_buckets(self.content.get("buckets"))

    @property
    def iou_types(self) -> tuple[str, ...]:
        """Name what the study judges, `bbox` or `segm` or both; figures are about the first."""
        judged = (self.content.get("evaluation") or {}).get("iou_type") or "bbox"
        return (judged,) if isinstance(judged, str) else tuple(str(entry) for entry in judged)

    @property
    def done(self) -> tuple[StoredCell, ...]:
        """The finished cells of the study's settings."""
        return tuple(cell for cell in self.cells if cell.state is State.DONE)


def read_cell(folder: str | Path) -> StoredCell:
    """Read the folder of a cell; its study, two folders up, says whether it is stale.

    Raises:
        FpnProbeError: If the folder holds no manifest.
    """
    path = Path(folder)
    if is_run(path):
        return read_run(path)
    if not (path / MANIFEST).is_file():
        raise FpnProbeError(
            f"{path} is not a cell of a study: expected {MANIFEST} in it, such as "
            "reports/quickstart/cells/fpn/seed-0"
        )
    absolute = path.absolute()
    if absolute.parent.parent.name == "cells" and (absolute.parents[2] / STUDY).is_file():
        for cell in StoredStudy.read(absolute.parents[2]).cells:
            if cell.folder.absolute() == absolute:
                return cell
    return StoredCell.read(path)


def find_cell_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders below `cells/` that hold a manifest, in order."""
    for file in sorted(folder.glob(f"cells/*/*/{MANIFEST}")):
        yield file.parent


def cell_folder(study: Path, variant: str, seed: int) -> Path:
    """The folder of a cell in its study's folder.

    >>> cell_folder(Path("out"), "FPN-CFG1", 0).as_posix()
    'out/cells/fpn-cfg1/seed-0'
    """
    return study / "cells" / slug(variant) / f"seed-{seed}"


def _read_cells(folder: Path, content: Mapping[str, Any]) -> tuple[StoredCell, ...]:
    names, seeds = _variant_names(content), content.get("seeds") or ()
    keys: dict[tuple[str, int], str | None] = {
        (entry["variant"], entry["seed"]): entry["key"] for entry in content.get("cells") or ()
    }
    unasked = {
        (entry["variant"], entry["seed"])
        for entry in content.get("cells") or ()
        if entry.get("asked") is False
    }
    planned_keys = keys or {(name, seed): None for name in names for seed in seeds}
    on_disk = {cell_path: StoredCell.read(cell_path) for cell_path in find_cell_folders(folder)}
    by_name = {
        (cell.manifest.get("variant"), cell.manifest.get("seed")): cell_path
        for cell_path, cell in on_disk.items()
    }
    cells = []
    for (variant, seed), key in planned_keys.items():
        cell_path = cell_folder(folder, variant, seed)
        if cell_path not in on_disk:
            cell_path = by_name.get((variant, seed), cell_path)
        on_disk.pop(cell_path, None)
        cell = StoredCell.read(cell_path, variant=variant, seed=seed, key=key)
        left_out = cell.state is State.PENDING and (variant, seed) in unasked
        cells.append(replace(cell, reason=NOT_ASKED_FOR) if left_out else cell)
    planned = {slug(name): name for name in names}
    for cell_path, cell in on_disk.items():
        name = cell.manifest.get("variant") or planned.get(cell_path.parent.name, "")
        cells.append(StoredCell.read(cell_path, variant=name, key="" if keys else None))
    return tuple(cells)


def _variant_names(content: Mapping[str, Any]) -> list[str]:
    return [
        str(entry["name"] if isinstance(entry, Mapping) else entry)
        for entry in content.get("variants") or ()
    ]


def _describe_absence(root: Path) -> str:
    """Say why a folder holds no study, and which one may have been meant."""
    if not root.is_dir():
        parent = root.absolute().parent
        beside = sorted(entry.name for entry in parent.glob("*/")) if parent.is_dir() else []
        meant = suggest(root.name, beside) if beside else "give the folder that run-study wrote"
        return f"there is no folder {root}: {meant}"
    studies = sorted(file.parent.name for file in root.glob(f"*/{STUDY}"))
    if studies:
        return (
            f"{root} holds several studies ({', '.join(studies)}): give one, such as "
            f"{root / studies[0]}, or all of them, one after the other"
        )
    return (
        f"{root} is not a study folder: expected {STUDY} or cells/*/*/{MANIFEST} in it, or a "
        "ledger; give the folder that run-study wrote, or the work_dir of a training with the probe"
    )
