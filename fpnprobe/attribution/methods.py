"""Four layer attribution methods of captum, on a chain, in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fpnprobe.attribution.captum_methods import METHODS, PathSettings
from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.words import Place
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
    run, path = METHODS[method], PathSettings(steps, batch)
    batches = [
        run(chain, at, inputs, batch_ids, path)
        for batch_ids in torch.split(ids, batch // 2)  # a path needs two points at once
    ]
    levels, values, references = zip(*batches, strict=True)
    tensors = tuple(torch.cat(level) for level in zip(*levels, strict=True))
    return Maps(method, chain.levels(at), tensors, torch.cat(values), torch.cat(references))


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
