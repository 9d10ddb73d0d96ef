"""The description of an intervention, as plain data: gains, balance, loss rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.balance import Balance

ROUTES = ("direct", "auxiliary", "deeper")
_STAGES = ("C2", "C3", "C4", "C5")

LossRule = Literal["LogArea", "UW", "PCGrad"]
"""Rules that weigh the losses of the buckets: see `fpnprobe.interventions.loss_rules`."""


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


@dataclass(frozen=True, slots=True)
class Intervention:
    """Gains, or a rule that sets them while training (`Balance`), or a rule on the losses.

    With s(r) the bucket of row r and g_{b,t}(C_i, route) the gradient that bucket b and term t
    send into C_i by a route, the gradient that C_i passes on becomes

        sum over routes, b, t of gain(i, route, b, t) * g_{b,t}(C_i, route).

    Everything above C_i (neck, heads) trains as ever; what differs is what reaches the backbone.
    """

    gains: tuple[Gain, ...] = ()
    balance: Balance | None = None
    rule: LossRule | None = None

    def __repr__(self) -> str:
        descriptions = [repr(gain) for gain in self.gains]
        descriptions += [repr(self.balance)] if self.balance else []
        descriptions += [f"losses by {self.rule}"] if self.rule else []
        return f"Intervention({', '.join(descriptions) or 'none'})"

    @classmethod
    def of(cls, data: Any, *, allow_negative: bool = False) -> "Intervention":
        """Read plain data: a list of gains, or `{"gains": [...], "balance": {...}}`.

        A gain is `{"stages": "C2..C4", "route": "direct", "bucket": "small", "gain": 0.0}`, with
        `term`, `begin` and `end` if wanted; stages may be a list. `{"allow_negative": True}` beside
        `gains` says the same as the argument.

        Raises:
            FpnProbeError: Naming the entry that is wrong and what was expected.
        """
        if isinstance(data, Intervention):
            return data
        content = data if isinstance(data, Mapping) else {"gains": data}
        unknown = set(content) - {"gains", "balance", "allow_negative", "rule"}
        allow_negative = allow_negative or content.get("allow_negative") is True
        listed = content.get("gains", ())
        if unknown or isinstance(listed, (str, Mapping)) or not isinstance(listed, Sequence):
            raise FpnProbeError(
                f"intervention {data!r}: expected a list of gains, such as "
                '[{"stages": "C2..C4", "route": "direct", "bucket": "small", "gain": 0.0}]'
            )
        balance, rule = content.get("balance"), content.get("rule")
        if rule is not None and rule not in get_args(LossRule):
            raise FpnProbeError(f"rule {rule!r}: expected one of {', '.join(get_args(LossRule))}")
        return cls(
            tuple(_read_gain(entry, allow_negative=allow_negative) for entry in listed),
            None if balance is None else Balance.of(balance, stages=_read_stages),
            rule,
        )

    def to_data(self) -> dict[str, Any]:
        """The same as plain data, for a manifest."""
        gains = [
            {f.name: list(v) if isinstance(v := getattr(gain, f.name), tuple) else v}
            for gain in self.gains
            for f in fields(gain)
        ]
        size = len(fields(Gain))
        merged: list[dict[str, Any]] = [
            {key: value for entry in gains[i : i + size] for key, value in entry.items()}
            for i in range(0, len(gains), size)
        ]
        content: dict[str, Any] = {
            "gains": merged,
            "balance": self.balance.to_data() if self.balance else None,
        }
        if any(gain.gain < 0 for gain in self.gains):
            content["allow_negative"] = True
        if self.rule is not None:
            content["rule"] = self.rule
        return content

    def check_buckets(self, labels: Sequence[str]) -> None:
        """Refuse buckets that a study does not have, before there is a loss.

        Raises:
            FpnProbeError: Naming the first one.
        """
        self.check(labels, [gain.term for gain in self.gains])

    def check(self, labels: Sequence[str], terms: Sequence[str]) -> None:
        """Refuse buckets and terms that this training does not have.

        Raises:
            FpnProbeError: Naming the first one.
        """
        for gain in self.gains:
            for kind, value, allowed in (
                ("bucket", gain.bucket, labels),
                ("term", gain.term, terms),
            ):
                if value != "all" and value not in allowed:
                    raise FpnProbeError(
                        f"intervention {gain!r}: no {kind} {value!r} here; expected all or one of "
                        f"{', '.join(allowed)}"
                    )


def _read_gain(entry: Any, *, allow_negative: bool) -> Gain:
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
        _read_stages(entry["stages"]),
        entry["route"],
        float(gain),
        entry.get("bucket", "all"),
        entry.get("term", "all"),
        begin,
        end,
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _read_stages(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else list(value) if _is_list(value) else []
    if len(names) == 1 and ".." in str(names[0]):
        first, _, last = str(names[0]).partition("..")
        if first in _STAGES and last in _STAGES and first <= last:
            return _STAGES[_STAGES.index(first) : _STAGES.index(last) + 1]
    if not names or any(name not in _STAGES for name in names):
        raise FpnProbeError(f"stages {value!r}: expected some of C2..C5, such as C3 or C2..C4")
    return tuple(dict.fromkeys(names))
