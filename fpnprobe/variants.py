"""The names of variants: what they mean, which exist, and the folder that each gets.

A name is a pyramid, how it is supervised, and an intervention in its training, each but the first
optional: `FPN-CFG2-AuxU~cut-direct`. To register a variant of the package, put its pyramid into
`PYRAMIDS` or its supervision into `SUPERVISIONS`, and its full name into `PAPER_VARIANTS` or
`MORE_VARIANTS`; `fpnprobe.mm.variants.apply` says how it is built. (Users register their own
pyramids in mmengine's `FUNCTIONS`.)
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest

GROUPINGS = tuple(f"FPN-CFG{stages}" for stages in range(1, 10))
"""Cascaded feature grouping with 1 to 9 stages."""
RIVALS = ("FPN-Dilated", "SiMo", "PAFPN", "BiFPN")
"""Pyramids of other papers and controls on the backbone; see `fpnprobe.mm.variants.rivals`."""
PYRAMIDS = ("DC5", "FPN", *GROUPINGS, "FPN-Wide", "FPN-Wide1", *RIVALS)
"""What stands before the supervision in a name."""
SUPERVISIONS = ("Aux", "AuxU")
"""What may stand after the pyramid, behind a hyphen."""

LOSS_RULES = ("LogArea", "UW", "PCGrad")
"""What may stand last: how the losses of the sizes are weighed, by
`fpnprobe.interventions.loss_rules`. It acts in training alone; the model is that without it."""

PAPER_VARIANTS = (
    "DC5",
    "DC5-Aux",
    "FPN",
    "FPN-Aux",
    "FPN-AuxU",
    "FPN-CFG1",
    "FPN-CFG2",
    "FPN-CFG3",
)
MORE_VARIANTS = ("FPN-Wide", "FPN-Wide1", *RIVALS, *(f"FPN-{rule}" for rule in LOSS_RULES))
"""Controls and other remedies that the paper does not have."""
_LONGEST_FOLDER = 80
BUILT_IN_VARIANTS = (*PAPER_VARIANTS, *MORE_VARIANTS)


@dataclass(frozen=True, slots=True)
class VariantName:
    """The parts of a variant's name, without an intervention.

    >>> VariantName.parse("FPN-CFG3-AuxU")
    VariantName(pyramid='FPN-CFG3', supervision='AuxU', loss_rule='')
    >>> VariantName.parse("FPN-PCGrad").loss_rule
    'PCGrad'
    >>> VariantName.parse("FPN-CFG3-AuxU").grouping_stages
    3
    >>> VariantName.parse("FPM")
    Traceback (most recent call last):
    fpnprobe.errors.FpnProbeError: unknown variant 'FPM': did you mean FPN or PAFPN or BiFPN?
    """

    pyramid: str
    supervision: str = ""
    loss_rule: str = ""

    @classmethod
    def parse(cls, name: str, registered: Iterable[str] = ()) -> "VariantName":
        """Split `name` into its parts.

        Args:
            name: The name, without an intervention.
            registered: Pyramids that the user registered.

        Raises:
            FpnProbeError: If it is not a variant, with the nearest names.
        """
        registered = tuple(registered)
        for rule, supervision in product(("", *LOSS_RULES), ("", *SUPERVISIONS)):
            ending = "".join(f"-{suffix}" for suffix in (supervision, rule) if suffix)
            pyramid = name.removesuffix(ending)
            if name.endswith(ending) and pyramid in (*PYRAMIDS, *registered):
                return cls(pyramid, supervision, rule)
        names = (*BUILT_IN_VARIANTS, *registered)
        raise FpnProbeError(f"unknown variant {name!r}: {suggest(name, names)}")

    @property
    def grouping_stages(self) -> int:
        """The number of cascaded grouping stages, 0 without grouping."""
        return GROUPINGS.index(self.pyramid) + 1 if self.pyramid in GROUPINGS else 0


def split_variant(name: str) -> tuple[str, str | None]:
    """Split `base~intervention` into the variant and the name of the intervention, if any.

    >>> split_variant("FPN~cut-direct"), split_variant("DC5")
    (('FPN', 'cut-direct'), ('DC5', None))

    Raises:
        FpnProbeError: If one half is empty.
    """
    base, tilde, intervention = name.partition("~")
    if tilde and not (base and intervention):
        raise FpnProbeError(
            f"variant {name!r} is half a name: expected 'base~intervention', as in 'FPN~cut-direct'"
        )
    return base, intervention or None


def slug(name: str) -> str:
    """Folder name of a variant: lower case, "~" as "--", everything else but a-z and 0-9 as "-".

    A long name is cut and gets a digest, since file systems take no more than 255 letters.

    >>> slug("FPN-CFG1"), slug("FPN~cut-direct"), slug("../x")
    ('fpn-cfg1', 'fpn--cut-direct', 'x')
    >>> slug("x" * 300)[-12:], slug("x" * 300) == slug("x" * 301)
    ('xxx-0d4e2ca9', False)
    """
    segments = (
        re.sub(r"[^a-z0-9]+", "-", segment.lower()).strip("-") for segment in name.split("~")
    )
    folder = "--".join(segment for segment in segments if segment) or "variant"
    if len(folder) <= _LONGEST_FOLDER:
        return folder
    return f"{folder[: _LONGEST_FOLDER - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
