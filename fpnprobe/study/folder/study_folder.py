"""The output folder of a study: `study.json` and the cells it names."""

import contextlib
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config import loading
from fpnprobe.config.schema import Study
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic
from fpnprobe.store.documents import MissingDocument, read_object
from fpnprobe.store.study import STUDY
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.dataset import iterations
from fpnprobe.study.folder.fitting import fit_study
from fpnprobe.study.folder.source import Source


@dataclass(frozen=True, slots=True)
class Output:
    """A study with its data, in its folder.

    Attributes:
        study: The resolved study.
        source: Its data.
        out: The folder.
        cells: One per variant and seed, in the order of the study, seeds inside variants.
        command: The command line that wrote it.
        unasked: Variant and seed of the cells that this command line left out.
    """

    study: Study
    source: Source
    out: Path
    cells: tuple[Cell, ...]
    command: str = ""
    unasked: frozenset[tuple[str, int]] = frozenset()

    @property
    def iterations(self) -> int:
        """The optimizer steps of each cell."""
        return iterations(self.study, self.source.images[0])

    def cell(self, variant: str, seed: int) -> Cell:
        """The cell of a variant and a seed."""
        return next(c for c in self.cells if (c.variant, c.seed) == (variant, seed))

    def write(self) -> None:
        """Write `study.json`."""
        content: dict[str, Any] = {
            **self.study.model_dump(mode="json"),
            "variants": [variant.name for variant in self.study.variants],
            "study": self.study.model_dump(mode="json"),
            "source": self.source.as_json(study=self.out),
            "iterations": self.iterations,
            "command": self.command,
            "cells": [self._describe(cell) for cell in self.cells],
        }
        atomic.write_json(self.out / STUDY, content)

    def _describe(self, cell: Cell) -> dict[str, Any]:
        entry = {"variant": cell.variant, "seed": cell.seed, "key": cell.key}
        return entry | ({"asked": False} if (cell.variant, cell.seed) in self.unasked else {})


def of(study: Study, *, source: Source, out: str | Path) -> Output:
    """The output that a study has in a folder, with what it leaves to its data filled in."""
    folder = Path(out)
    study = fit_study(study, size=source.size, buckets=source.buckets)
    cells = tuple(
        Cell(
            study.name,
            variant.name,
            seed,
            cell_key.cell_key(study, variant.name, seed, data_hash=source.root_hash),
            folder,
        )
        for variant in study.variants
        for seed in study.seeds_of(variant.name)
    )
    program = Path(sys.argv[0]).name.replace("__main__.py", "fpnprobe")
    command = shlex.join([program, *sys.argv[1:]])
    return Output(study, source, folder, cells, command)


def read(out: str | Path) -> Output:
    """The output that `study.json` in a folder tells of, with the keys it was written with.

    Raises:
        FpnProbeError: If the folder is not the output of a study, or the file is damaged.
    """
    file = Path(out) / STUDY
    try:
        content = read_object(file)
    except MissingDocument:
        raise FpnProbeError(
            f"{out} is not the output of a study: expected {STUDY} in it, as `run-study` writes"
        ) from None
    except FpnProbeError as error:
        raise FpnProbeError(f"{error}: run `run-study` again") from None
    if not isinstance(content.get("study"), dict):
        raise FpnProbeError(f"{file} cannot be read (no study in it): run `run-study` again")
    study = loading.validate(content["study"], source=str(file))
    try:
        source = Source.from_json(content["source"], study=out)
        if not all(re.fullmatch("[0-9a-f]{16,64}", entry["key"]) for entry in content["cells"]):
            raise ValueError("the key of a cell is none")  # it becomes a path
        cells = tuple(
            Cell(study.name, str(entry["variant"]), int(entry["seed"]), entry["key"], Path(out))
            for entry in content["cells"]
        )
        unasked = frozenset(
            (str(entry["variant"]), int(entry["seed"]))
            for entry in content["cells"]
            if entry.get("asked") is False
        )
        result = Output(study, source, Path(out), cells, str(content["command"]), unasked)
        check = result.iterations > 0
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FpnProbeError(f"{file} is damaged ({error}): run `run-study` again") from None
    assert check  # a study trains at least one iteration
    return result


@contextlib.contextmanager
def made(out: str | Path) -> Iterator[None]:
    """Make the folder; after an error it is removed again, if it was new and holds nothing yet.

    Raises:
        FpnProbeError: If it is a file, or cannot be written to.
    """
    folder = Path(out)
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise FpnProbeError(
            f"cannot write to the output folder {out}: {error.strerror or error}; choose another "
            "with --out"
        ) from None
    try:
        yield
    except FpnProbeError:
        for path in new_folders:  # the deepest first
            with contextlib.suppress(OSError):  # it holds something
                path.rmdir()
        raise
