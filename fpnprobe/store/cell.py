"""A cell on disk: one variant, one seed, its manifest, its files, and what state it is in.

The rule for the state, in this order:

| state | when |
|---|---|
| `running` | a process holds the cell's lock and the cell is not done |
| `pending` | nothing was trained yet |
| `damaged` | the manifest is missing beside results, or cannot be read |
| `stale` | the study asks for another key than the manifest's, or has no such cell |
| `done`, `failed` | the manifest says so |
| `interrupted` | begun, and nobody works on it |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import ScaleBucket, stored_buckets
from fpnprobe.store import atomic, locks, paths
from fpnprobe.store.cell_state import State, judge_state
from fpnprobe.store.digests import find_damage
from fpnprobe.store.documents import MissingDocument, drop_wrong_types, has_type, read_object

MANIFEST, LOCK, LOG, PROGRESS = "manifest.json", "lock", "log.txt", "progress.json"
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("study", "variant", "key", "state", "reason", "annotations", "code"), str),
    **dict.fromkeys(("seed", "iterations"), int),
    **dict.fromkeys(
        ("config", "data", "timings", "probe", "model", "versions", "files", "holes"), dict
    ),
    **dict.fromkeys(("environment", "git", "speed"), dict),
    **dict.fromkeys(("classes", "category_ids", "notes"), list),
}
_WITHOUT_RESULTS = (LOCK, LOG, PROGRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCell:
    """A cell as it was when it was read.

    Attributes:
        folder: Its folder, which may not exist yet.
        variant: Name of the variant.
        seed: Its seed.
        manifest: Content of `manifest.json`, empty where there is none that can be read.
        state: By the rule of this module.
        reason: Why it is in that state, for a person; empty where there is nothing to say.
    """

    folder: Path
    variant: str
    seed: int
    manifest: Mapping[str, Any]
    state: State
    reason: str

    @classmethod
    def read(
        cls,
        folder: str | Path,
        *,
        variant: str = "",
        seed: int | None = None,
        key: str | None = None,
        lock_is_ours: bool = False,
    ) -> "StoredCell":
        """Read a cell; never raises for what is in the folder.

        Args:
            folder: Its folder.
            variant: Name that the study gives it; by default that of the manifest.
            seed: Seed that the study gives it; by default that of the manifest.
            key: The key that the study asks for, "" if it has no such cell, None if unknown.
            lock_is_ours: Whether the caller holds the cell's lock, which then tells nothing.
        """
        path = Path(folder)
        problem, manifest = "", dict[str, Any]()
        try:
            manifest, wrong = drop_wrong_types(read_object(path / MANIFEST), _TYPES)
            if wrong:
                problem = f"{MANIFEST} has a {wrong[0]!r} of another type than expected"
        except MissingDocument:
            if _has_results(path):
                problem = f"{MANIFEST} is missing"
        except FpnProbeError as error:
            problem = str(error).replace(f"{path}/", "")
        if not lock_is_ours and manifest.get("state") != "done" and locks.is_held(path / LOCK):
            state, reason = State.RUNNING, ""
        else:
            state, reason = judge_state(manifest, problem, key)
        name, number = manifest.get("variant"), manifest.get("seed")
        digits = "".join(filter(str.isdecimal, path.name))[:18]
        return cls(
            folder=path,
            variant=variant or name or path.parent.name,
            seed=seed if seed is not None else number if number is not None else int(digits or 0),
            manifest=manifest,
            state=state,
            reason=reason,
        )

    @property
    def title(self) -> str:
        """Name for a person."""
        return f"{self.variant} seed {self.seed}"

    @property
    def belongs_to_study(self) -> bool:
        """Whether its results are of the study's settings, finished or not."""
        return self.state not in (State.STALE, State.DAMAGED)

    @property
    def study_folder(self) -> Path:
        """The folder that its paths are relative to."""
        return self.folder.absolute().parents[2]

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration: a study of one variant and one seed."""
        return self.manifest.get("config") or {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return tuple(str(name) for name in self.manifest.get("classes") or ())

    @property
    def class_names(self) -> dict[int, str]:
        """Names of the classes by the category id of a detection; empty where ids are unknown."""
        ids = self.manifest.get("category_ids")
        if not ids and self._is_of_scenes:  # of before the ids were kept
            ids = range(1, len(self.classes) + 1)
        pairs = zip(ids or (), self.classes, strict=False)
        return {number: name for number, name in pairs if has_type(number, int)}

    @property
    def _is_of_scenes(self) -> bool:
        """Whether its images were generated, which number the classes from 1."""
        data = self.config.get("data")
        return isinstance(data, Mapping) and bool(data.get("scenes"))

    @property
    def buckets(self) -> tuple[ScaleBucket, ...]:
        """The scale buckets it was trained and evaluated with.

        Raises:
            FpnProbeError: If the manifest's are damaged.
        """
        return stored_buckets(self.config.get("buckets") or self.manifest.get("buckets"))

    @property
    def annotations(self) -> Path:
        """The annotation file it was evaluated on."""
        return paths.from_stored(self._read_text("annotations"), study=self.study_folder)

    @property
    def data_root(self) -> Path:
        """The COCO folder with its images."""
        root = (self.manifest.get("data") or {}).get("root")
        if not isinstance(root, str) or "\0" in root:
            raise FpnProbeError(f"{self.folder / MANIFEST} does not say where its images are")
        return paths.from_stored(root, study=self.study_folder)

    @property
    def detections(self) -> Path:
        """Its COCO results."""
        return self.folder / "detections.json.gz"

    @property
    def evaluation(self) -> Path:
        """Its AP table."""
        return self.folder / "evaluation.parquet"

    @property
    def training(self) -> Path:
        """The scalars of its training."""
        return self.folder / "training.parquet"

    @property
    def attribution(self) -> Path:
        """The shares that `fpnprobe attribute` wrote."""
        return self.folder / "attribution.parquet"

    @property
    def features(self) -> Path:
        """The folder of its feature maps."""
        return self.folder / "features"

    @property
    def checkpoints(self) -> Path:
        """The folder of its weights."""
        return self.folder / "checkpoints"

    def find_damage(self, *names: str) -> dict[str, str]:
        """Files of a finished cell that are "missing" or "changed" since it was finished.

        Args:
            names: Only these, all by default. A cell of an older version has no digests.
        """
        if self.state is not State.DONE:
            return {}
        return find_damage(self.folder, self.manifest.get("files") or {}, names or None)

    def _read_text(self, key: str) -> str:
        text = self.manifest.get(key) or ""
        if not text or "\0" in text:
            raise FpnProbeError(f"{self.folder / MANIFEST} has no {key!r}: is it damaged?")
        return str(text)


def write_manifest(folder: str | Path, content: Mapping[str, Any]) -> None:
    """Write a cell's manifest atomically."""
    atomic.write_json(Path(folder) / MANIFEST, dict(content))


def _has_results(folder: Path) -> bool:
    """Tell whether a folder holds more than what a cell leaves that never began."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return any(
        file.name not in _WITHOUT_RESULTS and not file.name.startswith(".") for file in files
    )
