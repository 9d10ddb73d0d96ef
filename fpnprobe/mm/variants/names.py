"""What a variant's name says: a pyramid, how it is supervised, and an intervention."""

import difflib
import re
from dataclasses import dataclass

from mmengine.registry import FUNCTIONS

from fpnprobe.errors import FpnProbeError

PAPER_VARIANTS = (
    "DC5",
    "DC5-Aux",
    "FPN",
    "FPN-Aux",
    "FPN-AuxU",
    "FPN-CFG1",
    "FPN-CFG2",
    "FPN-CFG3",
    "FPN-Wide",
)

_SUPERVISION = re.compile(r"^(?P<pyramid>.+?)(?:-(?P<supervision>AuxU|Aux))?$")
_GROUPING = re.compile(r"^FPN-CFG([1-9])$")


@dataclass(frozen=True, slots=True)
class VariantName:
    """The parts of a variant's name.

    >>> VariantName.parse("FPN-CFG3-AuxU")
    VariantName(pyramid='FPN-CFG3', supervision='AuxU')
    >>> VariantName.parse("FPN-CFG3-AuxU").grouping_stages
    3
    >>> VariantName.parse("FPN-AuxV")
    Traceback (most recent call last):
    fpnprobe.errors.FpnProbeError: unknown variant 'FPN-AuxV'; nearest: FPN-Aux, FPN-AuxU, FPN
    """

    pyramid: str
    supervision: str = ""

    @classmethod
    def parse(cls, name: str) -> "VariantName":
        """Split `name`; an unknown one is an error that lists the nearest names."""
        match = _SUPERVISION.match(name)
        if match is None:
            raise unknown(name)
        parts = cls(match["pyramid"], match["supervision"] or "")
        if parts.pyramid in ("DC5", "FPN", "FPN-Wide", *registered()) or parts.grouping_stages:
            return parts
        raise unknown(name)

    @property
    def grouping_stages(self) -> int:
        """Number of cascaded grouping stages, 0 without grouping."""
        match = _GROUPING.match(self.pyramid)
        return int(match[1]) if match else 0


def registered() -> tuple[str, ...]:
    """Names of the users' own variants: functions they put into mmengine's `FUNCTIONS`."""
    return tuple(
        name
        for name, function in FUNCTIONS.module_dict.items()
        if not function.__module__.startswith(("mmengine", "mmdet", "mmcv"))
    )


def split_variant(name: str) -> tuple[str, str | None]:
    """Split `base~intervention` into the variant and the name of the intervention, if any.

    >>> split_variant("FPN~cut-direct")
    ('FPN', 'cut-direct')
    >>> split_variant("FPN-CFG2")
    ('FPN-CFG2', None)
    """
    base, tilde, intervention = name.partition("~")
    if tilde and not (base and intervention):
        raise FpnProbeError(
            f"variant {name!r} is half a name: expected 'base~intervention', as in 'FPN~cut-direct'"
        )
    return base, intervention or None


def unknown(name: str) -> FpnProbeError:
    """The error for a name that is not a variant, with the nearest ones."""
    known = [*PAPER_VARIANTS, *registered()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    lowered = {candidate.lower(): candidate for candidate in known}
    if name.lower() in lowered:
        near = [lowered[name.lower()]]
    hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(known)}"
    return FpnProbeError(f"unknown variant {name!r}; {hint}")
