"""The cells of a study folder, planned or found, with names that fit a label."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.figures.wording import short

LONGEST = 48


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant and seed: its manifest, and the folder it came from (None if never started).

    `name` is the variant's own name; `variant` is what the report calls it, which begins with the
    study where several are combined.
    """

    study: str
    name: str
    variant: str
    seed: int
    state: str
    reason: str
    manifest: Mapping[str, Any]
    folder: Path | None


def plain(value: object) -> str:
    """Names on one line: no control characters, so they fit a label and a table cell."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", str(value)).strip()


def read_json(path: Path, holes: list[str]) -> dict[str, Any]:
    """The file's object; {} where it is missing, or cannot be read, which becomes a hole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        holes.append(
            f"{path.parent.parent.name}/{path.parent.name}/{path.name} cannot be read: "
            f"{plain(error)}"
        )
        return {}
    return value if isinstance(value, dict) else {}


def label(name: object) -> str:
    """What the report calls a variant: its name on one line, cut where it is very long.

    >>> label("x" * 200) == label("x" * 199), label("FPN")
    (False, 'FPN')
    """
    text = plain(name)
    if len(text) <= LONGEST:
        return text
    # the digest keeps two long names apart
    return f"{short(text, LONGEST - 7)} {hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_cell(
    folder: Path, study: Mapping[str, Any], name: str, prefix: str, holes: list[str]
) -> Cell:
    """The cell of a folder, also where its manifest is unreadable."""
    manifest = read_json(folder / "manifest.json", holes)
    planned = {_slug(str(variant)): str(variant) for variant in study.get("variants") or []}
    fallback = planned.get(_slug(folder.parent.name), folder.parent.name)
    own = plain(manifest.get("variant") or fallback)
    seed = manifest.get("seed")
    keys = {
        (str(each["variant"]), each["seed"]): each.get("key") for each in study.get("cells") or []
    }
    wanted = keys.get((str(manifest.get("variant")), seed))
    stale = wanted is not None and manifest.get("key") not in (None, wanted)
    return Cell(
        study=name,
        name=own,
        variant=prefix + label(own),
        seed=seed if isinstance(seed, int) else int("".join(filter(str.isdigit, folder.name)) or 0),
        state="stale" if stale else plain(manifest.get("state", "unreadable")),
        reason="of other settings than the study's"
        if stale
        else plain(manifest.get("reason") or ""),
        manifest=manifest,
        folder=folder,
    )


def in_order(
    found: list[Cell], study: Mapping[str, Any], name: str, prefix: str, holes: list[str]
) -> list[Cell]:
    """Planned cells in the study's order, then cells that the study does not name."""
    have = {(cell.name, cell.seed): cell for cell in found}
    planned = [(plain(cell["variant"]), int(cell["seed"])) for cell in study.get("cells") or []]
    planned = planned or [
        (plain(variant), int(seed))
        for variant in study.get("variants") or []
        for seed in study.get("seeds") or []
    ]
    result = []
    for own, seed in [*planned, *(key for key in have if key not in planned)]:
        cell = have.get((own, seed)) or Cell(
            study=name, name=own, variant=prefix + label(own), seed=seed,
            state="missing", reason="never started", manifest={}, folder=None,
        )  # fmt: skip
        if cell.state != "done":
            why = f": {cell.reason}" if cell.reason else ""
            holes.append(f"{cell.variant}, seed {seed}: {cell.state}{why}")
        for step, why in (cell.manifest.get("holes") or {}).items():
            holes.append(f"{cell.variant}, seed {seed}: no {step}: {plain(why)}")
        result.append(cell)
    return result
