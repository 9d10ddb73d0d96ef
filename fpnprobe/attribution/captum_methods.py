"""The four methods as calls of captum: maps, the value, and the value of the baseline."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fpnprobe.attribution import engine
from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.attribution.words import Place

_Part = tuple[Levels, Tensor, Tensor]  # maps, f(x), f(baseline)


class PathSettings(NamedTuple):
    """Points on the path of a path method, and how many of them are in memory at once."""

    steps: int
    batch: int


_Method = Callable[[Chain, Place, Levels, Tensor, PathSettings], _Part]


def _activation_x_gradient(
    chain: Chain, at: Place, features: Levels, ids: Tensor, _: PathSettings
) -> _Part:
    tail = chain.tail(at)
    inputs = _repeat_levels(features, len(ids))
    maps = engine.LayerGradientXActivation(tail, tail.layer).attribute(
        inputs, additional_forward_args=(ids,)
    )
    return _detach_levels(maps), _read_value(tail, inputs, ids), _nan_reference(ids, features)


def _grad_cam(chain: Chain, at: Place, features: Levels, ids: Tensor, _: PathSettings) -> _Part:
    tail = chain.tail(at)
    inputs = _repeat_levels(features, len(ids))
    maps = engine.LayerGradCam(tail, tail.layer).attribute(inputs, additional_forward_args=(ids,))
    return _detach_levels(maps), _read_value(tail, inputs, ids), _nan_reference(ids, features)


def _integrated_gradients(
    chain: Chain, at: Place, features: Levels, ids: Tensor, path: PathSettings
) -> _Part:
    tail = chain.tail(at)
    inputs = _repeat_levels(features, len(ids))
    zeros = tuple(torch.zeros_like(level) for level in inputs)
    maps = engine.LayerIntegratedGradients(tail, tail.layer).attribute(
        inputs,
        baselines=zeros,
        additional_forward_args=(ids,),
        n_steps=path.steps,
        internal_batch_size=path.batch,
    )
    return _detach_levels(maps), _read_value(tail, inputs, ids), _read_value(tail, zeros, ids)


def _run_conductance(
    chain: Chain, at: Place, image: Levels, ids: Tensor, path: PathSettings
) -> _Part:
    inputs = _repeat_levels(image, len(ids))
    gray = tuple(torch.zeros_like(level) for level in inputs)  # the mean color, normalized
    maps = engine.LayerConductance(chain, chain.tap(at)).attribute(
        inputs,
        baselines=gray,
        additional_forward_args=(ids,),
        n_steps=path.steps,
        internal_batch_size=path.batch,
    )
    return _detach_levels(maps), _read_value(chain, inputs, ids), _read_value(chain, gray, ids)


METHODS: Mapping[str, _Method] = MappingProxyType(
    {
        "activation_x_gradient": _activation_x_gradient,
        "integrated_gradients": _integrated_gradients,
        "grad_cam": _grad_cam,
        "conductance": _run_conductance,
    }
)


def _repeat_levels(levels: Levels, examples: int) -> Levels:
    return tuple(level.expand(examples, *level.shape[1:]) for level in levels)


def _detach_levels(maps: Tensor | Levels) -> Levels:
    """Detach captum's maps: a tuple, or a tensor where there is one level."""
    levels = (maps,) if isinstance(maps, Tensor) else tuple(maps)
    return tuple(level.detach() for level in levels)


def _read_value(module: nn.Module, inputs: Levels, ids: Tensor) -> Tensor:
    with torch.no_grad():
        value: Tensor = module(*inputs, ids)
    return value


def _nan_reference(ids: Tensor, features: Levels) -> Tensor:
    return features[0].new_full((len(ids),), torch.nan)
