"""The settings of one cell, typed: what a study hands to the training below it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fpnprobe.config.loading import validate
from fpnprobe.config.schedule import Schedule
from fpnprobe.config.schema import Study
from fpnprobe.config.schema_data import Data
from fpnprobe.config.schema_parts import ProbeSpec
from fpnprobe.config.variants import VariantSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CellConfig:
    """The settings of one cell: a study of one variant and one seed, as its manifest records it.

    >>> study = validate({"name": "a", "question": "?", "detector": {}, "variants": ["DC5", "FPN"],
    ...                   "seeds": [0, 1], "data": {"root": "d"}, "schedule": {"iterations": 9}})
    >>> config = CellConfig.of(study, "FPN", 1)
    >>> config.variant.name, config.seed, config.schedule.iterations
    ('FPN', 1, 9)

    Attributes:
        study: The study, narrowed to one variant and one seed.
    """

    study: Study

    @classmethod
    def of(cls, study: Study, variant: str, seed: int) -> Self:
        """Narrow a study to one cell, by way of the JSON that the manifest records.

        What trains is then what the manifest says, down to tuples that JSON makes lists of.
        """
        content = study.model_dump(mode="json")
        content["variants"] = [study.variant(variant).model_dump(mode="json", exclude={"seeds"})]
        content["seeds"] = [seed]
        return cls.read(json.loads(json.dumps(content)))

    @classmethod
    def read(cls, content: Mapping[str, Any], *, source: str = "cell") -> Self:
        """Read the `config` of a manifest; `source` is named in errors.

        Raises:
            FpnProbeError: One line that names the first key that is wrong.
        """
        return cls(study=validate(content, source=source))

    @property
    def variant(self) -> VariantSpec:
        """The variant that the cell builds."""
        return self.study.variants[0]

    @property
    def seed(self) -> int:
        """The seed of the cell."""
        return self.study.seeds[0]

    @property
    def data(self) -> Data:
        """The part `data`."""
        return self.study.data

    @property
    def schedule(self) -> Schedule:
        """The part `schedule`."""
        return self.study.schedule

    @property
    def probe(self) -> ProbeSpec:
        """The part `probe`."""
        return self.study.probe
