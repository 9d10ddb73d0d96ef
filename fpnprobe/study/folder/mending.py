"""A finished cell whose files were damaged or lost: what can be made again without training."""

import shutil
from dataclasses import dataclass

from fpnprobe.store.cell import StoredCell
from fpnprobe.store.cell_state import State

_STEP_OF = {  # first part of a file's name -> the step that makes it
    "detections.json.gz": "predict",
    "evaluation.parquet": "evaluate",
    "features": "features",
    "offline": "offline",
    "snapshots": "snapshots",
}
_NEEDS_WEIGHTS = ("predict", "snapshots", "features", "offline")


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage of a finished cell.

    Attributes:
        remade: File -> "missing" or "changed", of files that a step makes again.
        lost: The same of files that only training makes, or whose source is gone.
    """

    remade: dict[str, str]
    lost: dict[str, str]

    def __bool__(self) -> bool:
        return bool(self.remade or self.lost)

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps that make the damaged files again."""
        names = {step_of(name) for name in self.remade}
        if {"predict", "snapshots"} & names:
            names.add("evaluate")
        return tuple(sorted(names))

    @property
    def reason(self) -> str:
        """One line about what is lost and what to do."""
        if not self.lost:
            return ""
        name, kind = next(iter(self.lost.items()))
        more = f" (and {len(self.lost) - 1} more)" if len(self.lost) > 1 else ""
        return (
            f"{name} is {kind} since the cell was finished, and only training makes it{more}: put "
            "it back from a copy, or train again with --fresh"
        )


def find_damage(stored: StoredCell) -> Damage:
    """Compare the files of a finished cell with the digests in its manifest.

    Weights, detections, feature maps and offline measurements that are missing count as pruned,
    as in a clone of a repository that ignores them, unless the cell can make them again. An older
    cell has no digests; its missing AP table is made again from its detections.
    """
    if stored.state is not State.DONE:
        return Damage({}, {})
    damage = stored.find_damage()
    if not stored.manifest.get("files"):
        damage = {} if stored.evaluation.exists() else {"evaluation.parquet": "missing"}
    weights = (stored.checkpoints / "final.pt").is_file()
    weights = weights and "checkpoints/final.pt" not in damage
    remade, lost = dict[str, str](), dict[str, str]()
    for name, kind in damage.items():
        step = step_of(name)
        possible = weights if step in _NEEDS_WEIGHTS else weights or stored.detections.is_file()
        if name == "evaluation.parquet" and "detections.json.gz" in damage:
            possible = weights
        if step and possible:
            remade[name] = kind
        elif kind == "changed" or name in _TABLES:
            lost[name] = kind
    if not stored.manifest.get("files"):
        lost = {}
    return Damage(remade, lost)


_TABLES = ("ledger.parquet", "conflict.parquet", "training.parquet", "evaluation.parquet")


def step_of(name: str) -> str:
    """Return the name of the step that makes a file of a cell, or "" where only training does.

    >>> step_of("features/12.npz"), step_of("ledger.parquet")
    ('features', '')
    """
    return _STEP_OF.get(name.split("/")[0], "")


def remove_damage(stored: StoredCell, damage: Damage) -> None:
    """Remove what is made again, with everything that is made from it."""
    for name in damage.remade:
        first, *inner = name.split("/")
        if first == "detections.json.gz":
            stored.detections.unlink(missing_ok=True)
            stored.evaluation.unlink(missing_ok=True)
        elif first == "snapshots":
            (stored.folder / name).unlink(missing_ok=True)
            stored.evaluation.unlink(missing_ok=True)
        elif first == "offline":
            shutil.rmtree(stored.folder / first / inner[0], ignore_errors=True)
        elif first == "features":
            shutil.rmtree(stored.features, ignore_errors=True)
        else:
            (stored.folder / first).unlink(missing_ok=True)
