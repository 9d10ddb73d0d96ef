"""EfficientNet-Lite0 as a four-stage detector backbone."""

from collections.abc import Sequence
from itertools import chain
from typing import Self

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm import quiet
from fpnprobe.mm.backbones import lite0_weights

# Not `efficientnet_lite0`: it takes the same weights, but pads symmetrically where TensorFlow does
# not, and its features are silently wrong.
TIMM_NAME = "tf_efficientnet_lite0"
CHANNELS = (24, 40, 112, 320)
_BLOCKS_OF_STAGE = (slice(1, 2), slice(2, 3), slice(3, 5), slice(5, 7))


@MODELS.register_module()
class Lite0(BaseModule):
    """EfficientNet-Lite0 (Tan and Le 2019, Lite): C2..C5 with 24, 40, 112 and 320 channels.

    Input is RGB, `(x - 127) / 128`, any size. `weights` is a file of ImageNet weights, "imagenet"
    for those of the extra `fpnprobe[pretrained]`, or None for random. The stem and the first
    `frozen_stages` stages (1 = C2) get no gradient; -1 freezes nothing. `norm_eval` keeps the
    statistics of batch normalization. `output_stride=16` dilates C5 instead of striding it (DC5).
    """

    def __init__(
        self,
        *,
        weights: str | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        output_stride: int = 32,
    ) -> None:
        with quiet.imports():  # seconds, and a note about progress bars in notebooks
            import timm
        super().__init__()
        if not set(out_indices) <= set(range(len(CHANNELS))):
            raise FpnProbeError(
                f"Lite0 has stages 0 to 3 (C2 to C5), got out_indices={out_indices}"
            )
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.net = timm.create_model(
            TIMM_NAME,
            features_only=True,
            out_indices=(1, 2, 3, 4),
            output_stride=output_stride,
            pretrained=False,
        )
        if weights is not None:
            lite0_weights.load(self.net, weights)
        self._freeze_modules()

    def stage_modules(self) -> tuple[nn.Module, ...]:
        """The modules whose parameters are those of C2, C3, C4, C5."""
        return tuple(self.net.blocks[blocks] for blocks in _BLOCKS_OF_STAGE)

    def init_weights(self) -> None:
        """Weights are set at construction; mmengine must not draw others over them."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features of the chosen stages, `(B, C_i, H / 2^i, W / 2^i)`, sizes rounded up."""
        features = self.net(x)
        return tuple(features[index] for index in self.out_indices)

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which frozen stages and, with `norm_eval`, all norms stay in eval."""
        super().train(mode)
        frozen = chain.from_iterable(module.modules() for module in self._frozen_modules())
        norms = self.modules() if self.norm_eval else frozen
        for module in norms:
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        stem = [self.net.conv_stem, self.net.bn1, self.net.blocks[0]]
        return [*stem, *self.stage_modules()[: self.frozen_stages]]

    def _freeze_modules(self) -> None:
        for module in self._frozen_modules():
            module.requires_grad_(False)
