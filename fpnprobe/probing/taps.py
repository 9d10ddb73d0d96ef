"""Named places in a model: where to listen, apart from what to do there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Tap:
    """A backbone stage output C_i, or a pyramid level P_l, in one forward pass.

    Attributes:
        name: `C2`..`C5` or `P2`...
        level: The number in the name.
        activation: The tensor, or None where the forward pass did not make it.
        parameters: Parameters of the stage that makes it; empty for pyramid levels.
        routed: Whether its gradient is split by route: true for stage outputs.
        exit: What neck and heads read, where that is computed from the stage output.
    """

    name: str
    level: int
    activation: Tensor | None = None
    parameters: tuple[nn.Parameter, ...] = ()
    routed: bool = False
    exit: Tensor | None = None

    def __repr__(self) -> str:
        shape = tuple(self.activation.shape) if self.activation is not None else None
        return f"Tap({self.name}, {shape}, {len(self.parameters)} parameters)"


def first_tensor(output: Any) -> Tensor:
    """Return what a stage gives: a tensor, or the first one of what it returns."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    for value in values if isinstance(values, (list, tuple)) else list(values):
        if isinstance(value, Tensor):
            return value
    raise FpnProbeError(f"a stage returned {type(output).__name__}, expected a tensor")


@contextmanager
def recorded(
    stages: Mapping[str, nn.Module], keep: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Give each stage's output to `keep(name, tensor)` while the context lasts."""
    with ExitStack() as undo:
        for name, stage in stages.items():

            def give_output(_m: nn.Module, _i: Any, output: Any, name: str = name) -> None:
                keep(name, first_tensor(output))

            undo.callback(stage.register_forward_hook(give_output).remove)
        yield


def level_of(name: str) -> int:
    """Return the number of a tap's name.

    >>> level_of("C3")
    3

    Raises:
        FpnProbeError: If the name is not C or P and a number.
    """
    if name[:1] not in ("C", "P") or not name[1:].isdecimal():
        raise FpnProbeError(
            f"tap {name!r}: expected C and the number of a backbone stage (C2) or P and the "
            "number of a pyramid level (P3)"
        )
    return int(name[1:])


def stage_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Find `layer1`..`layer4`, as torchvision's ResNets name the stages that make C2..C5.

    Raises:
        FpnProbeError: If the model has none, or has several.
    """
    modules: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        last = path.rpartition(".")[2]
        if last in ("layer1", "layer2", "layer3", "layer4"):
            name = f"C{int(last[-1]) + 1}"
            if name in modules:
                raise FpnProbeError(f"{path} is a second stage {name}: name the taps yourself")
            modules[name] = module
    if not modules:
        raise FpnProbeError(
            f"{type(model).__name__} has no layer1..layer4: name the stages, such as "
            'taps={"C2": model.stage2, "C3": model.stage3}'
        )
    return dict(sorted(modules.items()))
