"""Four layer attribution methods of captum, on a chain, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fpnprobe.attribution import engine
from fpnprobe.attribution.chain import Chain, Levels, Place
from fpnprobe.attribution.maps import Maps
from fpnprobe.errors import FpnProbeError

STEPS = 64
INTERNAL_BATCH = 16
TOLERANCE = 0.01
_REFINEMENTS = (4, 16)


def attribute(
    chain: Chain,
    *,
    image: Tensor,
    ids: Tensor,
    method: str = "integrated_gradients",
    at: Place = "pyramid",
    steps: int = STEPS,
    internal_batch_size: int = INTERNAL_BATCH,
    tolerance: float = TOLERANCE,
) -> Maps:
    """Spread the value of every target over the cells of the levels at a place.

    Methods, with x the maps at the place, f the rest of the chain and 0 the baseline:

    - `activation_x_gradient`: `x * df/dx` (Shrikumar et al. 2016).
    - `integrated_gradients`: `x * integral_0^1 df/dx(t x) dt` (Sundararajan et al. 2017), a path
      in which all levels grow together; sums to `f(x) - f(0)`.
    - `grad_cam`: `sum_c mean_hw(df/dx_c) x_c` (Selvaraju et al. 2017, Eq. 1-2 before the ReLU, so
      that evidence against the class stays visible); one map per level, not merged.
    - `conductance`: `integral df/dx dx/dt dt` along the path from a gray image to the image
      (Dhamdhere et al. 2018, Eq. 3); sums to `f(image) - f(gray)`.

    Args:
        chain: The detector and its readout, in evaluation mode.
        image: One image `(1, 3, H, W)`, normalized as the detector expects it.
        ids: Which targets, `(B,)` integers given to the readout.
        method: A key of `METHODS`.
        at: `stages` (C2..C5, what the neck reads) or `pyramid` (P2..P6, what the head reads).
        steps: Points on the path (integrated gradients, conductance).
        internal_batch_size: Most examples that are in memory at once.
        tolerance: Integrated gradients whose completeness residual is larger are taken again with
            4 times the steps, and again with 16 times, before they stay as they are; conductance
            is a sum of differences that converges slowly, and is left at `steps`.

    Returns:
        Maps of all targets, detached.

    Raises:
        FpnProbeError: For an unknown method or place, or an empty batch.
    """
    if method not in METHODS:
        raise FpnProbeError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}")
    if steps < 2 or internal_batch_size < 2:
        raise FpnProbeError(
            f"steps={steps}, internal_batch_size={internal_batch_size}: expected at least 2 each"
        )
    if image.dim() != 4 or len(image) != 1:
        raise FpnProbeError(f"image has the shape {tuple(image.shape)}: expected (1, 3, H, W)")
    if not len(ids):
        raise FpnProbeError("no target to attribute: the list of detections or objects is empty")
    chain.levels(at)
    with evaluating(chain):
        inputs = (image,) if method == "conductance" else chain.features(image, at)
        maps = on_features(
            chain, inputs, ids=ids, method=method, at=at, steps=steps, batch=internal_batch_size
        )
        for more in _REFINEMENTS if method == "integrated_gradients" else ():
            rough = (maps.residual() > tolerance).nonzero()[:, 0]
            if not len(rough):
                break
            finer = on_features(
                chain,
                inputs,
                ids=ids[rough],
                method=method,
                at=at,
                steps=more * steps,
                batch=internal_batch_size,
            )
            maps = maps.replaced(rough, finer)
    return maps


def on_features(
    chain: Chain, inputs: Levels, *, ids: Tensor, method: str, at: Place, steps: int, batch: int
) -> Maps:
    """`attribute` for features that are there already (for conductance: the image)."""
    run, path = METHODS[method], _Path(steps, batch)
    batches = [
        run(chain, at, inputs, batch_ids, path)
        for batch_ids in torch.split(ids, batch // 2)  # a path needs two points at once
    ]
    levels, values, references = zip(*batches, strict=True)
    tensors = tuple(torch.cat(level) for level in zip(*levels, strict=True))
    return Maps(method, chain.levels(at), tensors, torch.cat(values), torch.cat(references))


_Part = tuple[Levels, Tensor, Tensor]  # maps, f(x), f(baseline)


class _Path(NamedTuple):
    steps: int
    batch: int


_Method = Callable[[Chain, Place, Levels, Tensor, _Path], _Part]


def _activation_x_gradient(
    chain: Chain, at: Place, features: Levels, ids: Tensor, _: _Path
) -> _Part:
    tail = chain.tail(at)
    inputs = _repeat_levels(features, len(ids))
    maps = engine.LayerGradientXActivation(tail, tail.layer).attribute(
        inputs, additional_forward_args=(ids,)
    )
    return _detach_levels(maps), _read_value(tail, inputs, ids), _nan_reference(ids, features)


def _grad_cam(chain: Chain, at: Place, features: Levels, ids: Tensor, _: _Path) -> _Part:
    tail = chain.tail(at)
    inputs = _repeat_levels(features, len(ids))
    maps = engine.LayerGradCam(tail, tail.layer).attribute(inputs, additional_forward_args=(ids,))
    return _detach_levels(maps), _read_value(tail, inputs, ids), _nan_reference(ids, features)


def _integrated_gradients(
    chain: Chain, at: Place, features: Levels, ids: Tensor, path: _Path
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


def _run_conductance(chain: Chain, at: Place, image: Levels, ids: Tensor, path: _Path) -> _Part:
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


@contextmanager
def evaluating(chain: Chain) -> Iterator[None]:
    """Evaluation mode, and no gradient of any weight, for the length of an attribution."""
    modes = [(module, module.training) for module in chain.modules()]
    trained_parameters = [parameter for parameter in chain.parameters() if parameter.requires_grad]
    try:
        chain.eval()
        for parameter in trained_parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in trained_parameters:
            parameter.requires_grad_(True)
