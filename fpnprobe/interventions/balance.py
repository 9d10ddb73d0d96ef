"""Balanced routes: each stage's direct route carries equal shares of all object sizes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Balance:
    """Gains that follow the running gradient, so that the buckets' shares become equal.

    With e_b the running mean of the squared norm of bucket b's gradient at C_i by the route,

        gain_b = sqrt(mean_b(e) / e_b), at most `limit` and at least 1 / limit, then all scaled so
        that sum_b gain_b^2 e_b = sum_b e_b:

    equal shares, and the norm of the whole kept (up to the buckets' cosines). Background and
    buckets that have sent nothing so far keep gain 1.

    Attributes:
        stages: Stage outputs it acts on.
        route: The route it acts on.
        decay: Weight of the past in the running mean.
        limit: Largest factor before scaling: what never comes is not made up from noise.
        begin: First iteration (0-based) at which it acts; before it only listens.

    >>> Balance().gains(np.array([4.0, 1.0, 1.0])).round(3).tolist()
    [0.707, 1.414, 1.414]
    """

    stages: tuple[str, ...] = ("C2", "C3", "C4")
    route: str = "direct"
    decay: float = 0.95
    limit: float = 10.0
    begin: int = 50

    def __repr__(self) -> str:
        return f"{self.stages[0]}..{self.stages[-1]} {self.route} balanced"

    @classmethod
    def of(cls, data: Any, *, stages: Callable[[Any], tuple[str, ...]]) -> "Balance":
        """Read `{"stages": "C2..C4", "route": "direct", ...}`; an empty one is the default."""
        if isinstance(data, Balance):
            return data
        if not isinstance(data, Mapping) or set(data) - set(cls.__dataclass_fields__):
            raise FpnProbeError(
                f"balance {data!r}: expected a mapping with some of "
                f"{', '.join(cls.__dataclass_fields__)}"
            )
        values = dict(data)
        if "stages" in values:
            values["stages"] = stages(values["stages"])
        numbers = [values[name] for name in ("decay", "limit", "begin") if name in values]
        if not all(type(number) in (int, float) for number in numbers):
            raise FpnProbeError(f"balance {dict(data)!r}: decay, limit and begin must be numbers")
        balance = cls(**values)
        if balance.route not in ("direct", "auxiliary"):
            raise FpnProbeError(f"balance of route {balance.route!r}: expected direct or auxiliary")
        if not (0 <= balance.decay < 1 and balance.limit >= 1 and balance.begin >= 0):
            raise FpnProbeError(
                f"balance {dict(data)!r}: expected 0 <= decay < 1, limit >= 1 and begin >= 0"
            )
        return balance

    def to_data(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "stages": list(self.stages)}

    def gains(self, energy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the factor of each object bucket from its running squared norm e, `(K,)`."""
        factors = np.ones_like(energy)
        has_energy = energy > 0
        if has_energy.sum() < 2:
            return factors
        e = energy[has_energy]
        raw = np.sqrt(e.mean() / e).clip(1 / self.limit, self.limit)
        factors[has_energy] = raw * np.sqrt(e.sum() / (raw**2 * e).sum())
        return factors
