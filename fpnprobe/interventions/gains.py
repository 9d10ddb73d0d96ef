"""One gain of an intervention: a factor on chosen rows, stages and routes, read from plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from fpnprobe.errors import FpnProbeError

ROUTES = ("direct", "auxiliary", "deeper")
_STAGES = ("C2", "C3", "C4", "C5")


@dataclass(frozen=True, slots=True)
class Gain:
    """A factor on the gradient that enters some stages by one route.

    Attributes:
        stages: Stage outputs, such as `("C2", "C3")`.
        route: `direct`, `auxiliary` or `deeper`.
        bucket: Whose gradient: a bucket, `background`, or `all`.
        term: Of which loss term, such as `roi`; `all` for every one.
        gain: The factor; several that match the same rows multiply.
        begin: First iteration (0-based) at which it acts.
        end: First iteration at which it acts no longer; None for the end of training.
    """

    stages: tuple[str, ...]
    route: str
    gain: float
    bucket: str = "all"
    term: str = "all"
    begin: int = 0
    end: int | None = None

    def __repr__(self) -> str:
        stages = self.stages[0] if len(self.stages) == 1 else f"{self.stages[0]}..{self.stages[-1]}"
        term = "" if self.term == "all" else f" {self.term}"
        when = "" if (self.begin, self.end) == (0, None) else f" [{self.begin}, {self.end or ''})"
        return f"{stages} {self.route} {self.bucket}{term} x{self.gain:g}{when}"

    @property
    def whole(self) -> bool:
        """Tell whether it acts on all rows alike, which costs no extra backward pass."""
        return self.bucket == "all" and self.term == "all"

    def acts(self, iteration: int) -> bool:
        """Tell whether it acts in this training step."""
        return self.begin <= iteration and (self.end is None or iteration < self.end)


def read_gain(entry: Any, *, allow_negative: bool) -> Gain:
    """Read one gain from plain data, or refuse it with what was expected."""
    allowed_keys = {f.name for f in fields(Gain)}
    if (
        not isinstance(entry, Mapping)
        or not {"stages", "route", "gain"} <= set(entry) <= allowed_keys
    ):
        raise FpnProbeError(
            f"gain {entry!r}: expected the keys stages, route and gain, and of bucket, term, "
            "begin, end what is wanted"
        )
    gain = entry["gain"]
    number = isinstance(gain, (int, float)) and not isinstance(gain, bool) and abs(gain) < 1e300
    if not number or (gain < 0 and not allow_negative):
        raise FpnProbeError(
            f"gain {gain!r} in {dict(entry)!r}: expected a finite number >= 0 "
            "(below 0 only with allow_negative)"
        )
    if entry["route"] not in ROUTES:
        raise FpnProbeError(f"route {entry['route']!r}: expected one of {', '.join(ROUTES)}")
    begin, end = entry.get("begin", 0), entry.get("end")
    whole = all(type(iteration) is int for iteration in (begin, 0 if end is None else end))
    if not whole or begin < 0 or not (end is None or end > begin):
        raise FpnProbeError(f"gain from iteration {begin!r} to {end!r}: expected 0 <= begin < end")
    for key in ("bucket", "term"):
        if not isinstance(entry.get(key, "all"), str):
            raise FpnProbeError(f"{key} {entry[key]!r} in {dict(entry)!r}: expected a name or all")
    return Gain(
        read_stages(entry["stages"]),
        entry["route"],
        float(gain),
        entry.get("bucket", "all"),
        entry.get("term", "all"),
        begin,
        end,
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def read_stages(value: Any) -> tuple[str, ...]:
    """Read stages from a name, a list of names, or a range such as `C2..C4`."""
    names = [value] if isinstance(value, str) else list(value) if _is_list(value) else []
    if len(names) == 1 and ".." in str(names[0]):
        first, _, last = str(names[0]).partition("..")
        if first in _STAGES and last in _STAGES and first <= last:
            return _STAGES[_STAGES.index(first) : _STAGES.index(last) + 1]
    if not names or any(name not in _STAGES for name in names):
        raise FpnProbeError(f"stages {value!r}: expected some of C2..C5, such as C3 or C2..C4")
    return tuple(dict.fromkeys(names))
