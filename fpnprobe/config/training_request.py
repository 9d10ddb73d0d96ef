"""A request of `fpnprobe train`: which config is trained, on what, and how the probe measures."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest

LAUNCHERS = ("none", "pytorch", "slurm")
MODES = ("routes", "full", "norms")  # of the probe


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """One training of any mmdet config with the probe; plain data, so that processes share it.

    Attributes:
        config: A config file, or the name of one shipped with mmdet.
        data: Data folder with a training and a validation split (see `fpnprobe data check`); its
            categories become the classes. Without it, the config's own data.
        work_dir: Where to write; `work_dirs/<config>` by default.
        options: `key=value`, as mmengine's `--cfg-options`.
        resume: Go on from the last checkpoint in `work_dir`.
        amp: Train in mixed precision.
        auto_scale_lr: Scale the learning rate to the batch.
        mode: Mode of the probe; as the config says, else `routes`.
        interval: Interval of the probe; this or `budget`.
        budget: Budget of the probe; as the config says, else 0.02.
        strict: Whether a broken invariant stops the training.
        seed: Seed of the training.
        launcher: `none`, `pytorch` or `slurm`, as mmengine has them.

    >>> TrainingRequest.from_json(TrainingRequest(config="x.py", seed=3).to_json()).seed
    3
    """

    config: str
    data: str | None = None
    work_dir: str | None = None
    options: tuple[str, ...] = ()
    resume: bool = False
    amp: bool = False
    auto_scale_lr: bool = False
    mode: str | None = None
    interval: int | None = None
    budget: float | None = None
    strict: bool = False
    seed: int = 0
    launcher: str = "none"

    def __post_init__(self) -> None:
        if self.launcher not in LAUNCHERS:
            expected = ", ".join(LAUNCHERS)
            raise FpnProbeError(f"--launcher {self.launcher!r}: expected one of {expected}")
        if self.mode is not None and self.mode not in MODES:
            raise FpnProbeError(f"--mode {self.mode!r}: {suggest(self.mode, MODES)}")
        if self.budget is not None and not 0 < self.budget < 1:
            raise FpnProbeError(f"--budget {self.budget:g}: expected a fraction, such as 0.02")
        for option in self.options:
            key, equals, _value = option.partition("=")
            if not equals or not key:
                raise FpnProbeError(f"--cfg-options {option!r}: expected KEY=VALUE")

    def probe_hook(self, configured: Mapping[str, Any] | None) -> dict[str, Any]:
        """Config of the probe's hook: the one of the config, if any, with what was asked for.

        >>> TrainingRequest(config="x.py", interval=10).probe_hook({"mode": "full", "budget": 0.1})
        {'mode': 'full', 'budget': None, 'interval': 10, 'type': 'GradientProbeHook'}
        """
        hook = dict(configured or {"mode": "routes", "budget": 0.02})
        if self.mode is not None:
            hook["mode"] = self.mode
        if self.budget is not None:
            hook["budget"] = self.budget
        if self.interval is not None:
            hook.update(interval=self.interval, budget=None)
        if self.strict:
            hook["strict"] = True
        return {**hook, "type": "GradientProbeHook"}

    def to_json(self) -> str:
        """Return the request as a command line can carry it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TrainingRequest":
        """Return the request that `to_json` wrote."""
        content = json.loads(text)
        return cls(**{**content, "options": tuple(content["options"])})
