"""The stages C_i of a backbone, with outputs and parameters, and the levels P_l of a neck."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

from mmdet.models.backbones import SwinTransformer
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.taps import first_tensor

_FIRST_LEVEL = 2  # the first stage of a four-stage backbone makes C2


@dataclass(frozen=True, slots=True)
class Stage:
    """One backbone stage.

    Attributes:
        level: I of C_i.
        module: Module whose forward pass makes C_i.
        owners: Modules whose parameters are the stage's.
        pick: Takes C_i from what `module` returns.
    """

    level: int
    module: nn.Module
    owners: tuple[nn.Module, ...]
    pick: Callable[[Any], Tensor] = first_tensor

    @property
    def name(self) -> str:
        """`C2`, `C3`, ..."""
        return f"C{self.level}"

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters of the stage, trained or not."""
        return tuple(p for owner in self.owners for p in owner.parameters())


def has_stages(backbone: nn.Module) -> bool:
    """Tell whether a backbone's stages are known by name; if not, its maps are its stages."""
    return (
        callable(getattr(backbone, "stage_modules", None))
        or getattr(backbone, "res_layers", None) is not None
        or isinstance(backbone, SwinTransformer)
        or _timm_network(backbone) is not None
    )


def _timm_network(backbone: nn.Module) -> nn.Module | None:
    for module in backbone.modules():
        info = getattr(module, "feature_info", None)
        if callable(getattr(info, "module_name", None)):
            return module
    return None


def stages(backbone: nn.Module) -> tuple[Stage, ...]:
    """Find stages of a ResNet or its kin, Swin, a timm network, or one with `stage_modules()`.

    The stem belongs to no stage. In Swin, the downsampling after a stage belongs to the next one,
    and C_i is what the stage gives before it; the norm on the way to the neck is outside.

    Raises:
        FpnProbeError: For any other backbone, naming the remedy.
    """
    stage_modules = getattr(backbone, "stage_modules", None)
    if callable(stage_modules):
        return _number_stages(stage_modules(), backbone)
    layers: Any = getattr(backbone, "res_layers", None)
    if layers is not None:
        return _number_stages([getattr(backbone, name) for name in layers], backbone)
    if isinstance(backbone, SwinTransformer):
        return _find_swin_stages(backbone)
    network = _timm_network(backbone)
    if network is not None:
        return _find_timm_stages(network)
    raise FpnProbeError(
        f"backbone {type(backbone).__name__} has stages that fpnprobe does not know: give it a "
        "method stage_modules() that returns the modules making C2, C3, ..., in order"
    )


def _number_stages(modules: Sequence[nn.Module], backbone: nn.Module) -> tuple[Stage, ...]:
    module_ids = {id(module) for module in backbone.modules()}
    return tuple(
        # A slice of a Sequential is a new module that never runs: its last part does.
        Stage(level, module if id(module) in module_ids else list(module.children())[-1], (module,))
        for level, module in enumerate(modules, start=_FIRST_LEVEL)
    )


def _find_swin_stages(backbone: Any) -> tuple[Stage, ...]:
    swin_stages: list[Stage] = []
    before: tuple[nn.Module, ...] = ()
    for level, stage in enumerate(backbone.stages, start=_FIRST_LEVEL):
        # A stage returns (next input, its size, own output, its size).
        swin_stages.append(Stage(level, stage, (*before, stage.blocks), lambda out: out[2]))
        before = (stage.downsample,) if stage.downsample is not None else ()
    return tuple(swin_stages)


def _find_timm_stages(net: Any) -> tuple[Stage, ...]:
    units: dict[str, nn.Module] = {}
    for name, child in net.named_children():
        if name in ("blocks", "stages") and isinstance(child, (nn.Sequential, nn.ModuleList)):
            units.update({f"{name}.{k}": block for k, block in child.named_children()})
        else:
            units[name] = child
    order = list(units)
    info = net.feature_info
    first = round(log2(info.reduction()[0]))
    timm_stages: list[Stage] = []
    end: int | None = None
    for level, name in enumerate(info.module_name(), start=first):
        key = name if name in units else name.replace(".", "_")
        if key not in units:
            raise FpnProbeError(
                f"timm network {type(net).__name__}: no module {name!r} makes its features; give "
                "the backbone a method stage_modules()"
            )
        index = order.index(key)
        owners = order[index if end is None else end + 1 : index + 1]
        end = index
        if level >= _FIRST_LEVEL:
            timm_stages.append(Stage(level, units[key], tuple(units[owner] for owner in owners)))
    return tuple(timm_stages)


def neck_levels(outputs: Sequence[Tensor], stage_sizes: dict[int, tuple[int, int]]) -> list[int]:
    """Return the numbers of a neck's maps, finest first.

    The first one has the number of the deepest stage with its size, since a dilated stage keeps
    the size of the one before; the others count on.

    >>> import torch
    >>> maps = [torch.empty(1, 1, s, s) for s in (16, 8, 4)]
    >>> neck_levels(maps, {2: (32, 32), 3: (16, 16), 4: (8, 8), 5: (4, 4)})
    [3, 4, 5]
    """
    size = tuple(outputs[0].shape[-2:])
    same = [level for level, stage_size in stage_sizes.items() if stage_size == size]
    first = max(same) if same else min(stage_sizes, default=_FIRST_LEVEL)
    return list(range(first, first + len(outputs)))
