"""Interventions of a study and their controls: the same build without intervention."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import READY_MADE, Intervention, intervention


@dataclass(frozen=True, slots=True)
class Intervened:
    """A variant whose backward pass is changed.

    Attributes:
        variant: Its name.
        change: What is changed.
        twin: The control: the variant that differs by nothing else; "" where the study has none.
    """

    variant: str
    change: Intervention
    twin: str

    def is_ready_made(self, name: str) -> bool:
        """Tell whether it changes what the ready-made intervention of that name changes."""
        return self.change == intervention(name)


def intervened(content: Mapping[str, Any]) -> list[Intervened]:
    """The interventions among the variants of a study, in its order.

    A control has the same build, options and detector, and no intervention.

    Args:
        content: `study.json`.

    >>> intervened({"variants": ["DC5", "FPN", "FPN~cut-direct"]})
    [Intervened(variant='FPN~cut-direct', change=Intervention(C2..C4 direct all x0), twin='FPN')]
    """
    resolved = content.get("study")
    resolved_variants = resolved.get("variants") if isinstance(resolved, Mapping) else None
    variants = [
        _as_mapping(variant) for variant in resolved_variants or content.get("variants") or ()
    ]
    untouched = {
        _identify_build(variant): str(variant["name"])
        for variant in reversed(variants)
        if _read_intervention(variant) is None
    }
    return [
        Intervened(str(variant["name"]), change, untouched.get(_identify_build(variant), ""))
        for variant in variants
        if (change := _read_intervention(variant)) is not None
    ]


def _as_mapping(variant: Any) -> Mapping[str, Any]:
    return variant if isinstance(variant, Mapping) else {"name": str(variant)}


def _read_intervention(variant: Mapping[str, Any]) -> Intervention | None:
    """The intervention of a variant; what another version cannot read counts as none."""
    try:
        if variant.get("intervention") is not None:
            change = Intervention.of(variant["intervention"])
            return None if change.rule else change  # a rival, and not a test of a cause
        name = str(variant.get("build") or variant["name"]).partition("~")[2]
        return intervention(name) if name in READY_MADE else None
    except FpnProbeError:
        return None


def _identify_build(variant: Mapping[str, Any]) -> tuple[str, str, str]:
    base = str(variant.get("build") or variant["name"]).partition("~")[0]
    return base, repr(variant.get("options") or {}), repr(variant.get("detector") or {})
