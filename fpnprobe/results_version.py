"""The version of the numbers that a training gives, bumped by hand when they change on purpose.

A cell's key holds this version and no hash of the code, so that a rename, a comment or a faster
way to the same numbers leaves every finished cell valid. `tests/mm/test_golden_numbers.py` trains
tiny cells and fails when their numbers move: then either the change is a fault and is mended, or it
is meant, and the narrowest version below that covers it goes up by one.
"""

import re

RESULTS_VERSION = 1
"""For changes that move the numbers of every cell: data, loop, losses, ledger, evaluation."""

METHOD_VERSIONS = {
    "DC5": 2,
    "Aux": 2,
    "AuxU": 2,
    "CFG": 3,
    "Wide": 3,
}
"""For changes of one method: only cells whose variant has that part in its name are outdated."""


def results_version(variant: str) -> dict[str, int]:
    """The versions that the results of a variant depend on, as they enter the key of its cells.

    A part of the name is what stands between hyphens, without a number at its end; after a tilde
    comes the name of an intervention. `AuxU` rests on `Aux`. Methods at version 1 are left out, so
    that a new entry at 1 outdates nothing.

    >>> results_version("FPN")
    {'results': 1}
    """
    base, _, intervention = variant.partition("~")
    components = {
        re.sub(r"\d+$", "", component) if component != "DC5" else component
        for component in base.split("-")
    }
    components |= {"Aux"} if "AuxU" in components else set()
    components |= {f"~{intervention}"} if intervention else set()
    outdating = {component: METHOD_VERSIONS.get(component, 1) for component in sorted(components)}
    return {"results": RESULTS_VERSION} | {
        component: v for component, v in outdating.items() if v > 1
    }
