"""The base of the parts of a study file: frozen, no unknown keys, only usable numbers.

The text under a key is what `fpnprobe keys` prints; `UNKEYED` marks a key that changes no result
and is therefore left out of the key of a cell.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNKEYED: Any = {"changes_results": False}
MOST = 10**9  # of iterations and other counts, which 64-bit integers and file names must hold
Side = Annotated[int, Field(ge=32, le=20_000)]
Part = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """Base of all parts: frozen, no unknown keys, only numbers that a training can use."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_as_number(cls, content: Any) -> Any:
        """Refuse True where a number is expected, which Python takes for 1."""
        for name, value in content.items() if isinstance(content, Mapping) else ():
            field = cls.model_fields.get(name)
            if (
                isinstance(value, bool)
                and field is not None
                and "bool" not in str(field.annotation)
            ):
                raise ValueError(f"{name} is {value}, expected no truth value")
        return content
