"""The place at which gradients are split."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GradientKey:
    """The place at which gradients are split: a tap, a kind and a route."""

    tap: str
    level: int
    kind: str
    route: str
