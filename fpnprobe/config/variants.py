"""The entries of a study's `variants`."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import Intervention, intervention
from fpnprobe.variants import LOSS_RULES, split_variant


def _loss_rule(built: Any) -> dict[str, str] | None:
    """The rule on the losses that the name of what is built ends in, as an intervention."""
    ending = built.partition("~")[0].rpartition("-")[2] if isinstance(built, str) else ""
    return {"rule": ending} if ending in LOSS_RULES else None


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
    >>> VariantSpec(name="FPN-PCGrad").change
    Intervention(losses by PCGrad)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    build: str = ""
    options: Mapping[str, Any] = {}
    detector: Mapping[str, Any] = {}
    intervention: Mapping[str, Any] | None = None
    seeds: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _resolve_intervention(cls, content: Any) -> Any:
        """Put the intervention that is given, or that the name means, as plain data."""
        if not isinstance(content, Mapping) or not isinstance(content.get("name"), str):
            return content
        description = content.get("intervention")
        names = (content.get("build") or "", content["name"])
        try:
            names_of_interventions = [
                split_variant(name)[1] for name in names if isinstance(name, str)
            ]
            if description is None:
                description = next((name for name in names_of_interventions if name), None)
            if description is None:
                description = next(map(_loss_rule, filter(None, names)), None)
            if description is None:
                return content
            if isinstance(description, str):
                change = intervention(description)
            else:
                change = Intervention.of(description)
        except FpnProbeError as error:
            raise ValueError(f"variant {content['name']!r}: {error}") from error
        return {**content, "intervention": change.to_data()}

    @property
    def built(self) -> str:
        """The name of the variant that is built."""
        return self.build or self.name

    @property
    def change(self) -> Intervention | None:
        """The intervention in the backward pass of its training, None for none."""
        return None if self.intervention is None else Intervention.of(self.intervention)
