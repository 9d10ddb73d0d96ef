"""Variant names: what a cell is called, which pyramid it builds, which folder holds it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import Intervention, intervention

KNOWN = (
    "DC5", "DC5-Aux", "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3", "FPN-Wide",
)  # fmt: skip
_GRAMMAR = re.compile(r"(DC5|FPN|FPN-Wide|FPN-CFG[1-9])(-AuxU?)?")


def is_known(name: str) -> bool:
    """Whether a name (without intervention) follows the grammar of the variants.

    >>> is_known("FPN-CFG2-AuxU"), is_known("FPM")
    (True, False)
    """
    return _GRAMMAR.fullmatch(name) is not None


class VariantSpec(BaseModel):
    """One entry of a study's `variants`: a name, or a name with what to build and its options.

    `build` is the known variant that is built (the name itself where left out), `options` goes to
    that variant's builder, `detector` overrides the study's detector for this variant only, `seeds`
    replaces the study's seeds.

    `intervention` changes the backward pass of its training: a list of gains, `{"gains": [...],
    "balance": {...}}`, or the name of a ready-made one, and it is kept as plain data. A name
    `base~ready-made` says the same; where both are there, `intervention` counts.

    >>> VariantSpec(name="FPN~cut-direct").change
    Intervention(C2..C4 direct all x0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    build: str = ""
    options: Mapping[str, Any] = {}
    detector: Mapping[str, Any] = {}
    intervention: Mapping[str, Any] | None = None
    seeds: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, content: Any) -> Any:
        """Put the intervention that is given, or that the name means, as plain data."""
        if not isinstance(content, Mapping) or not isinstance(content.get("name"), str):
            return content
        given = content.get("intervention")
        if given is None:
            names = (content.get("build") or "", content["name"])
            texts = [each for each in names if isinstance(each, str)]
            given = next((n.partition("~")[2] for n in texts if "~" in n), None)
        if given is None:
            return content
        try:
            found = intervention(given) if isinstance(given, str) else Intervention.of(given)
        except FpnProbeError as error:
            raise ValueError(f"variant {content['name']!r}: {error}") from error
        return {**content, "intervention": found.to_data()}

    @property
    def built(self) -> str:
        """Name of the variant that is built."""
        return self.build or self.name

    @property
    def change(self) -> Intervention | None:
        """What is changed in the backward pass of its training."""
        return None if self.intervention is None else Intervention.of(self.intervention)


def split_variant(name: str) -> tuple[str, str | None]:
    """Split "base~intervention" into its two names; the second is None without a tilde.

    >>> split_variant("FPN~cut-direct"), split_variant("DC5")
    (('FPN', 'cut-direct'), ('DC5', None))
    """
    base, tilde, intervention = name.partition("~")
    return base, intervention if tilde else None


def slug(name: str) -> str:
    """Folder name of a variant: lower case, "~" as "--", everything else but a-z and 0-9 as "-".

    >>> slug("FPN-CFG1"), slug("FPN~cut-direct"), slug("../x")
    ('fpn-cfg1', 'fpn--cut-direct', 'x')
    """
    parts = (re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in name.split("~"))
    return "--".join(part for part in parts if part) or "variant"


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """`did you mean ...` for a name that is not known, or the list of names if none is near.

    >>> nearest("FPM", ["DC5", "FPN"])
    'did you mean FPN?'
    """
    names = list(known)
    lower = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name.lower(), lower, n=count, cutoff=0.5)
    if found:
        return f"did you mean {' or '.join(lower[each] for each in found)}?"
    return f"known: {', '.join(names)}"


def select(asked: Iterable[str], available: Iterable[str], kind: str) -> tuple[str, ...]:
    """The asked names in the order of `available`.

    Raises:
        FpnProbeError: if a name is not available, with the nearest ones.
    """
    names, wanted = list(available), list(asked)
    for name in wanted:
        if name not in names:
            raise FpnProbeError(f"unknown {kind} {name!r}: {nearest(name, names)}")
    return tuple(name for name in names if name in wanted)
