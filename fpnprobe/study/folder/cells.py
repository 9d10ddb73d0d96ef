"""A cell of a study: one variant, one seed, one folder, one key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.store.cell import LOCK, StoredCell
from fpnprobe.store.cell_state import State
from fpnprobe.store.study import cell_folder


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
        """The folder of the cell."""
        return cell_folder(self.out, self.variant, self.seed)

    @property
    def archive(self) -> Path:
        """The folder of this cell's content while other settings are in its own."""
        return self.out / "archive" / self.key[:16]

    @property
    def lock(self) -> Path:
        """Lock file of the cell."""
        return self.folder / LOCK

    @property
    def title(self) -> str:
        """The name for a person."""
        return f"{self.variant} seed {self.seed}"

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, or None if there is none that can be read."""
        return dict(self.stored().manifest) or None

    def stored(self, *, lock_is_ours: bool = False) -> StoredCell:
        """The cell as it lies on disk now; its lock tells nothing where the caller holds it."""
        return StoredCell.read(
            self.folder,
            variant=self.variant,
            seed=self.seed,
            key=self.key,
            lock_is_ours=lock_is_ours,
        )

    def state(self) -> State:
        """Return what the cell is now; its archive counts, since its worker brings it back."""
        state = self.stored().state
        if state in (State.PENDING, State.STALE) and self.is_archived():
            return State.DONE
        return state

    def is_archived(self) -> bool:
        """Tell whether the archive holds this cell, finished."""
        return StoredCell.read(self.archive, key=self.key).state is State.DONE
