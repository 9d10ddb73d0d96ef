"""An intervention as plain data: its gains, and a rule that sets them or weighs the losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.balance import Balance
from fpnprobe.interventions.gains import Gain, read_gain, read_stages

LossRule = Literal["LogArea", "UW", "PCGrad"]
"""Rules that weigh the losses of the buckets: see `fpnprobe.interventions.loss_rules`."""


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
            tuple(read_gain(entry, allow_negative=allow_negative) for entry in listed),
            None if balance is None else Balance.of(balance, stages=read_stages),
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
