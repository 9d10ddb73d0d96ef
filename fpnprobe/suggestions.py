"""Suggestions for a name that is not known: what the person most likely meant."""

import difflib
import re
from collections.abc import Iterable

from fpnprobe.errors import FpnProbeError

_LISTED = 12


def suggest(name: str, candidates: Iterable[str], count: int = 3) -> str:
    """Return `did you mean ...?` with the nearest names, or the list of names if none is near.

    >>> suggest("FPM", ["DC5", "FPN"])
    'did you mean FPN?'
    >>> suggest("shedule", ["schedule.lr", "schedule.amp", "schedule", "seeds"], count=1)
    'did you mean schedule?'

    >>> suggest("FPN-CFG", ["FPN", "FPN-CFG1"])
    'did you mean FPN-CFG1 or FPN?'

    >>> suggest("FPN;rm -rf", ["DC5", "FPN-CFG1", "FPN"])
    'did you mean FPN?'

    Args:
        name: What was given.
        candidates: What could have been given.
        count: How many names are suggested at most.
    """
    names = list(dict.fromkeys(candidates))
    lowered = {name_lower.lower(): name_lower for name_lower in names}
    if name.lower() in lowered:
        return f"did you mean {lowered[name.lower()]}?"
    longer = [name_lower for name_lower in lowered if name and name_lower.startswith(name.lower())]
    beginnings = (
        []
        if longer
        else [
            name_lower
            for name_lower in lowered
            if re.match(rf"{re.escape(name_lower)}[^\w.-]", name.lower())
        ]
    )
    if beginnings:
        return f"did you mean {lowered[max(beginnings, key=len)]}?"
    nearest = difflib.get_close_matches(name.lower()[:200], lowered, n=count, cutoff=0.5)
    nearest = list(dict.fromkeys([*longer, *nearest]))[:count]
    if nearest:
        return f"did you mean {' or '.join(lowered[name_lower] for name_lower in nearest)}?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"known: {', '.join(names[:_LISTED])}{more}"


def select_names(selection: Iterable[str], available: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the wanted names in the order of `available`.

    Raises:
        FpnProbeError: If a name is not available, with the nearest ones.
    """
    names, selection = list(available), list(selection)
    for name in selection:
        if name not in names:
            raise FpnProbeError(f"unknown {kind} {name!r}: {suggest(name, names)}")
    return tuple(name for name in names if name in selection)
