"""The part `schedule` of a study file: how a cell is trained."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from fpnprobe.config.spec import MOST, UNKEYED, Part, Spec


class Factors(Spec):
    """The factors of the learning rate and the weight decay of some parameters."""

    lr_mult: float = Field(default=1.0, ge=0)
    """Factor of the learning rate."""
    decay_mult: float = Field(default=1.0, ge=0)
    """Factor of the weight decay."""


class Paramwise(Spec):
    """Factors of single parameters: mmengine's `paramwise_cfg`, and its rules of precedence.

    `custom_keys` are parts of parameter names; the longest that fits decides, and the other factors
    do not count then.
    """

    bias_lr_mult: float | None = Field(default=None, ge=0)
    """Factor of the learning rate of biases."""
    bias_decay_mult: float | None = Field(default=None, ge=0)
    """Factor of the weight decay of biases."""
    norm_decay_mult: float | None = Field(default=None, ge=0)
    """Factor of the weight decay of normalization layers."""
    dwconv_decay_mult: float | None = Field(default=None, ge=0)
    """Factor of the weight decay of depthwise convolutions."""
    flat_decay_mult: float | None = Field(default=None, ge=0)
    """Factor of the weight decay of one-dimensional parameters."""
    custom_keys: Mapping[str, Factors] = {}
    """Factors by a part of a parameter's name; the longest part that fits decides."""


class Schedule(Spec):
    """Training. `batch` is the number of images of one optimizer step, over all processes.

    `accumulate` splits that batch into so many passes, so the batch of the paper fits any device;
    neither it nor the number of processes changes the learning rate. If `base_batch` is given, the
    rate used is `lr * batch / base_batch` (linear rule, Goyal et al. 2017). For the first `warmup`
    steps the rate is `warmup_start` of it, rising (`linear`) or not (`constant`).
    """

    iterations: int | None = Field(default=None, ge=1, le=MOST)
    """Optimizer steps; give this or `epochs`."""
    epochs: float | None = Field(default=None, gt=0, le=1e6)
    """Passes over the training images; give this or `iterations`."""
    at_least: int = Field(default=1, ge=1, le=MOST)
    """Fewest optimizer steps that `epochs` make."""
    at_most: int | None = Field(default=None, ge=1, le=MOST)
    """Most optimizer steps that `epochs` make; None for no limit."""
    batch: int = Field(default=4, ge=1, le=2**20)
    """Images of one optimizer step, over all processes."""
    lr: float = Field(default=2e-3, gt=0, le=1e6)
    """Learning rate, for a batch of `base_batch` images where that is given."""
    base_batch: int | None = Field(default=None, ge=1)
    """Batch that `lr` is meant for (linear rule); None takes `lr` as it is."""
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    """Kind of optimizer."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD."""
    policy: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls after the warm-up."""
    steps: tuple[Part, ...] = (8 / 12, 11 / 12)
    """Parts of the training at which policy `step` divides the rate by 10."""
    final_lr: float = Field(default=0.02, ge=0, le=1)
    """Part of the rate that policy `cosine` ends at."""
    warmup: int = Field(default=50, ge=0, le=MOST)
    """Steps of the warm-up."""
    warmup_start: float = Field(default=0.01, gt=0, le=1)
    """Part of the rate at the first step of the warm-up."""
    warmup_policy: Literal["linear", "constant"] = "linear"
    """Whether the rate rises during the warm-up or stays at its start."""
    paramwise: Paramwise = Paramwise()
    """Factors of single parameters."""
    clip: float | None = Field(default=10.0, gt=0)
    """Greatest norm of the gradient, which is scaled down to it; None does not clip."""
    amp: Literal["bf16", "fp16"] | None = None
    """Half precision of the training; None trains in float32."""
    accumulate: int = Field(default=1, ge=1)
    """Passes that one optimizer step is split into."""
    workers: int | None = Field(default=None, ge=0, le=1024, json_schema_extra=UNKEYED)
    """Worker processes that load images; None for what the machine allows."""
    channels_last: bool = True
    """Whether tensors lie in memory with the channels last."""
    fused: bool = True
    """Whether the optimizer is the fused one."""
    deterministic: bool = False
    """Whether only deterministic operators are used."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give exactly one of schedule.iterations and schedule.epochs")
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(
                f"schedule.at_least {self.at_least} is more than schedule.at_most {self.at_most}"
            )
        if self.batch % self.accumulate:
            raise ValueError(
                f"schedule.batch {self.batch} is not a multiple of schedule.accumulate "
                f"{self.accumulate}"
            )
        return self

    @property
    def rate(self) -> float:
        """The learning rate after the linear rule."""
        return self.lr * self.batch / (self.base_batch or self.batch)
