"""Ready-made interventions: the two claims of the paper as experiments, and a repair."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.intervention import Intervention
from fpnprobe.suggestions import suggest

_SHALLOW = "C2..C4"

READY_MADE: Mapping[str, Any] = MappingProxyType(
    {
        # FPN works because it shortens back-propagation: take the short ways away, or the long.
        "cut-direct": [{"stages": _SHALLOW, "route": "direct", "gain": 0.0}],
        "cut-deeper": [{"stages": _SHALLOW, "route": "deeper", "gain": 0.0}],
        # Small objects alone on the short ways suppress AP_L: silence them there, or the large.
        "no-small-direct": [
            {"stages": _SHALLOW, "route": "direct", "bucket": "small", "gain": 0.0}
        ],
        "no-large-direct": [
            {"stages": _SHALLOW, "route": "direct", "bucket": "large", "gain": 0.0}
        ],
        "balanced": {"balance": {"stages": _SHALLOW, "route": "direct"}},
    }
)


def intervention(name: str) -> Intervention:
    """The ready-made intervention of that name, the part of a variant's name after the tilde.

    >>> intervention("no-small-direct")
    Intervention(C2..C4 direct small x0)

    Raises:
        FpnProbeError: If there is none, with the nearest names.
    """
    if name not in READY_MADE:
        raise FpnProbeError(f"unknown intervention {name!r}: {suggest(name, READY_MADE)}")
    return Intervention.of(READY_MADE[name])
