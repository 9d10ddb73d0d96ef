"""A cell: one variant, one seed, one folder, one key."""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe import atomic
from fpnprobe.errors import FpnProbeError
from fpnprobe.study import locks
from fpnprobe.variants import slug

MANIFEST = "manifest.json"
STUDY = "study.json"


class State(enum.StrEnum):
    """What a cell is, seen from outside."""

    PENDING = "pending"  # nothing there
    RUNNING = "running"  # a process holds its lock
    INTERRUPTED = "interrupted"  # begun, and nobody works on it
    FAILED = "failed"
    DONE = "done"
    STALE = "stale"  # there, but of other settings, data or results version


@dataclass(frozen=True, slots=True)
class Cell:
    """One unit of work of a study in its output folder.

    >>> Cell("quickstart", "FPN-CFG1", 0, "ab12", Path("out")).folder.as_posix()
    'out/cells/fpn-cfg1/seed-0'
    """

    study: str
    variant: str
    seed: int
    key: str
    out: Path

    @property
    def folder(self) -> Path:
        """Folder of the cell."""
        return self.out / "cells" / slug(self.variant) / f"seed-{self.seed}"

    @property
    def archive(self) -> Path:
        """Where this cell's content lies while other settings are in its folder."""
        return self.out / "archive" / self.key[:16]

    @property
    def lock(self) -> Path:
        """Lock file of the cell."""
        return self.folder / "lock"

    @property
    def title(self) -> str:
        """Name for a person."""
        return f"{self.variant} seed {self.seed}"

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, or None if there is none that can be read."""
        return read_manifest(self.folder)

    def state(self) -> State:
        """What the cell is now."""
        if locks.is_held(self.lock):
            return State.RUNNING
        manifest = self.manifest()
        if manifest is None:
            archived = read_manifest(self.archive)
            return State.DONE if archived and archived.get("state") == "done" else State.PENDING
        if manifest.get("key") != self.key:
            archived = read_manifest(self.archive)
            return State.DONE if archived and archived.get("state") == "done" else State.STALE
        recorded = manifest.get("state")
        return State(recorded) if recorded in ("done", "failed") else State.INTERRUPTED


def read_manifest(folder: str | Path) -> dict[str, Any] | None:
    """The manifest in a cell folder, or None."""
    try:
        content = json.loads((Path(folder) / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_manifest(folder: str | Path, content: Mapping[str, Any]) -> None:
    """Write a cell's manifest atomically."""
    atomic.write_json(Path(folder) / MANIFEST, dict(content))


def read_study(out: str | Path) -> dict[str, Any]:
    """Content of `study.json` of an output folder.

    Raises:
        FpnProbeError: if the folder is not the output of a study.
    """
    file = Path(out) / STUDY
    try:
        content = json.loads(file.read_text())
        if not isinstance(content["study"]["name"], str):
            raise TypeError
    except (FileNotFoundError, NotADirectoryError):
        raise FpnProbeError(
            f"{out} is not the output of a study: expected {STUDY} in it, as `run-study` writes"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FpnProbeError(
            f"{file} cannot be read ({error or type(error).__name__}): run `run-study` again"
        ) from None
    return dict(content)
