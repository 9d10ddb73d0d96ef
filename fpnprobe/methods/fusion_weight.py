"""f_w, the function that weighs the stages of a cascade (Eq. 17).

Jin et al., "You Should Look at All Objects", ECCV 2022: "f_w is a non-linear function used to
generate the feature fusion weights. In our implementation, f_w consists of two convolution blocks
(a block consists of a convolution, a normalization and an activation layer)." Kernels, widths, the
kind of norm and activation, and how it starts are not written.
"""

import math
from dataclasses import dataclass
from typing import Literal, cast, get_args

from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError

Combine = Literal["sum", "recursive"]
Activation = Literal["relu", "sigmoid", "softmax", "constant"]
Start = Literal["constant", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeOptions:
    """The choices that the paper leaves open about Eq. 17, with our defaults.

    Attributes:
        weight_activation: Last layer of f_w: `relu`, `sigmoid`, `softmax` over the stages (a weight
            then depends on all of them), or `constant`: no function but the number `weight_value`.
        weight_norm: Group norm in the second block too, as the paper says; False leaves it out.
        weight_start: `constant`: all weights begin as the number `weight_value`, since the last
            layer that has a scale begins at zero. `random`: each block begins as a layer does by
            default, so that a ReLU begins with half of the map at zero.
        weight_value: The number; None is 1 for `relu` and `constant`, 0.5 for `sigmoid`. `softmax`
            begins at one over the number of stages.
        weight_width: Channels between the two blocks.
        weight_norm_groups: Groups of the group norms, at most.
        weight_kernel: Kernel of both convolutions, 1 or 3.
        weight_outputs: `one` weight a location, or one for each channel: `channels`.
        weight_per_level: One f_w for each level, not one for all.
        weight_per_stage: One f_w for each stage, not one for all.
        later_gain: Factor of the M_k before training in all stages but the first, so that a cascade
            begins near one stage. At 1 the sum begins as as many maps as stages, most of which went
            through other levels and back, on the same channels.
        combine: `sum`: stage s + 1 takes P'^(s), and all P'^(s) are summed with their weights.
            `recursive`: stage s + 1 takes P'' so far, and Eq. 17 is applied to P'' and its result.
    """

    weight_activation: Activation = "relu"
    weight_norm: bool = True
    weight_start: Start = "constant"
    weight_value: float | None = None
    weight_width: int = 64
    weight_norm_groups: int = 16
    weight_kernel: Literal[1, 3] = 1
    weight_outputs: Literal["one", "channels"] = "channels"
    weight_per_level: bool = False
    weight_per_stage: bool = False
    later_gain: float = 0.1
    combine: Combine = "sum"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("weight_activation", get_args(Activation)),
            ("weight_start", get_args(Start)),
            ("weight_outputs", ("one", "channels")),
            ("combine", get_args(Combine)),
        ):
            value = getattr(self, name)
            if value not in allowed:
                expected = ", ".join(repr(choice) for choice in allowed)
                raise FpnProbeError(f"{name}={value!r}: expected {expected}")
        if self.weight_kernel not in (1, 3):
            raise FpnProbeError(f"weight_kernel={self.weight_kernel}: expected 1 or 3")
        value = self.weight_value
        if self.weight_activation == "sigmoid" and value is not None and not 0 < value < 1:
            raise FpnProbeError(
                f"weight_value={value}: a sigmoid can begin between 0 and 1, expected such a number"
            )
        if self.weight_activation == "relu" and value is not None and value <= 0:
            raise FpnProbeError(
                f"weight_value={value}: a ReLU at 0 or below has no gradient, expected more than 0"
            )
        if self.weight_activation == "softmax" and value is not None:
            raise FpnProbeError(
                f"weight_value={value}: a softmax begins at one over the number of stages, expected"
                " None"
            )

    @property
    def value(self) -> float:
        """The number at which the weights begin, or that they are."""
        usual = {"sigmoid": 0.5}.get(self.weight_activation, 1.0)
        return usual if self.weight_value is None else self.weight_value

    def count_functions(self, *, stages: int, levels: int) -> int:
        """Count the functions f_w of a cascade."""
        if stages == 1:
            return 0
        return (stages if self.weight_per_stage else 1) * (levels if self.weight_per_level else 1)


class FusionWeight(nn.Module):
    """f_w: (B, Z, H, W) to weights of shape (B, 1, H, W), or (B, Z, H, W) (Eq. 17).

    Two blocks of convolution, group norm and activation. With `softmax` it gives the logits.

    >>> import torch
    >>> weight = FusionWeight(32, options=CascadeOptions(weight_outputs="one"))
    >>> weight(torch.zeros(1, 32, 4, 6)).shape
    torch.Size([1, 1, 4, 6])
    """

    def __init__(self, channels: int, *, options: CascadeOptions) -> None:
        super().__init__()
        self.options = options
        self.layers = nn.Sequential()
        if options.weight_activation == "constant":
            return
        kernel, width = options.weight_kernel, options.weight_width
        outputs = 1 if options.weight_outputs == "one" else channels
        self.layers.extend(
            [
                nn.Conv2d(channels, width, kernel, padding=kernel // 2),
                nn.GroupNorm(_find_divisor(width, options.weight_norm_groups), width),
                nn.ReLU(),
                nn.Conv2d(width, outputs, kernel, padding=kernel // 2),
            ]
        )
        if options.weight_norm:
            groups = _find_divisor(outputs, options.weight_norm_groups)
            self.layers.append(nn.GroupNorm(groups, outputs))
        self.layers.append(
            {"relu": nn.ReLU(), "sigmoid": nn.Sigmoid(), "softmax": nn.Identity()}[
                options.weight_activation
            ]
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Set the start of f_w; mmengine calls it after the neck's own initialization."""
        layers = list(self.layers)
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(cast(Tensor, layer.bias))
            if isinstance(layer, nn.GroupNorm):
                layer.reset_parameters()
        if not layers or self.options.weight_start == "random":
            return
        last = cast(nn.GroupNorm | nn.Conv2d, layers[-2])  # the layer below the activation
        start = {
            "relu": self.options.value,
            "sigmoid": math.log(self.options.value / (1 - self.options.value))
            if self.options.weight_activation == "sigmoid"
            else 0.0,
        }
        nn.init.zeros_(last.weight)
        nn.init.constant_(cast(Tensor, last.bias), start.get(self.options.weight_activation, 0.0))

    def forward(self, feature: Tensor) -> Tensor:
        """Compute the weights of a map."""
        weights: Tensor = self.layers(feature)
        return weights


def _find_divisor(channels: int, most: int) -> int:
    """Find the largest number of groups, at most `most`, that divides the channels."""
    return max(n for n in range(1, min(most, channels) + 1) if channels % n == 0)
