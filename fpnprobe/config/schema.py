"""The keys of a study file: typed, validated, with the defaults that a laptop needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fpnprobe.config.schedule import Schedule
from fpnprobe.config.schema_data import Data
from fpnprobe.config.schema_parts import EvaluationSpec, ProbeSpec, Resources
from fpnprobe.config.spec import UNKEYED, Spec
from fpnprobe.config.variants import VariantSpec
from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import ScaleBucket, names, stored_buckets
from fpnprobe.variants import VariantName, slug, split_variant

_SEEDS = 2**32  # numpy takes no greater one


class Study(Spec):
    """A question, with variants x seeds; its unit of work is the cell (one variant, one seed).

    `compare_with_paper` says why AP by size is set beside the paper's although `buckets` are not
    COCO's; without a reason it is not.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    """Name of the study, and of its folder in reports/ by default."""
    question: str = Field(json_schema_extra=UNKEYED)
    """The question that the study asks."""
    expected: str = Field(default="", json_schema_extra=UNKEYED)
    """The answer that is expected, and why."""
    detector: Mapping[str, Any]
    """What is trained: fields of `fpnprobe.mm.detectors.DetectorSpec`."""
    variants: tuple[VariantSpec, ...] = Field(min_length=1)
    """Names of variants, or mappings with a name, options and an intervention."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds that every variant is trained with."""
    data: Data
    """The data."""
    schedule: Schedule
    """The training."""
    probe: ProbeSpec = ProbeSpec()
    """The probe."""
    buckets: tuple[tuple[str, float, float | None], ...] | Literal["auto"] = ()
    """Size buckets as (name, low, high) in px^2, None for no upper end; () for COCO's; "auto"."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """The evaluation."""
    compare_with_paper: str = Field(default="", json_schema_extra=UNKEYED)
    """Why AP by size is set beside the paper's although `buckets` are not COCO's; "" for not."""
    resources: Resources = Field(default=Resources(), json_schema_extra=UNKEYED)
    """The machine."""
    imports: tuple[str, ...] = ()
    """Modules that are imported first, with detectors and variants of your own."""

    @field_validator("variants", mode="before")
    @classmethod
    def _name_variants(cls, value: object) -> object:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, Sequence):
            return value
        return [{"name": entry} if isinstance(entry, str) else entry for entry in value]

    @field_validator("buckets", mode="before")
    @classmethod
    def _check_bounds(cls, value: object) -> object:
        """Refuse what only looks like a bound, such as "0"."""
        try:
            stored_buckets(() if value == "auto" else value)
        except FpnProbeError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _check_variants_and_seeds(self) -> Self:
        folders = [slug(variant.name) for variant in self.variants]
        for index, (variant, folder) in enumerate(zip(self.variants, folders, strict=True)):
            if folder in folders[:index]:
                raise ValueError(f"variant {variant.name!r} is given twice (folder {folder!r})")
            try:
                base, _ = split_variant(variant.built)
                if not self.imports:
                    VariantName.parse(base)
            except FpnProbeError as error:
                raise ValueError(str(error)) from error
        for seeds in (self.seeds, *(variant.seeds for variant in self.variants if variant.seeds)):
            if len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) >= _SEEDS:
                raise ValueError(
                    f"seeds {list(seeds)} must be distinct, not negative and below 2**32"
                )
        try:
            labels = names(self.scale_buckets())
            for variant in self.variants:
                if variant.change is not None:
                    variant.change.check_buckets(labels)
        except FpnProbeError as error:
            raise ValueError(str(error)) from error
        changed = [variant.name for variant in self.variants if variant.intervention is not None]
        if changed and self.probe.mode == "norms":
            raise ValueError(
                f"{changed[0]!r} is an intervention, which needs the loss as labeled rows, and "
                "probe.mode norms does not make them: take routes or full, or None for no probe"
            )
        return self

    def scale_buckets(self) -> tuple[ScaleBucket, ...]:
        """The buckets, in px^2 of the original image; COCO's where the study names none.

        Those of "auto" are known once the data are read: `fpnprobe.study.folder.fitting`.
        """
        return stored_buckets(() if self.buckets == "auto" else self.buckets)

    def seeds_of(self, name: str) -> tuple[int, ...]:
        """Return the seeds of a variant: its own, or the study's."""
        return self.variant(name).seeds or self.seeds

    def variant(self, name: str) -> VariantSpec:
        """The variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)
