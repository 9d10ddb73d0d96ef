"""A cell of an opened run."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunCell:
    """One variant and seed of a run."""

    folder: Path
    variant: str
    seed: int
    state: str

    @classmethod
    def read(cls, folder: Path) -> "RunCell":
        """From the cell's manifest; an unreadable one gives a cell in state "unreadable"."""
        try:
            content = json.loads((folder / "manifest.json").read_text())
            return cls(folder, str(content["variant"]), int(content["seed"]), content["state"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls(folder, folder.parent.name, 0, "unreadable")
