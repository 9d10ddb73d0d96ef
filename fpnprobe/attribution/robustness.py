"""captum's own measures of an explanation: infidelity and sensitivity."""

import pandas as pd
import torch
from torch import Tensor

from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.attribution.engine import infidelity, sensitivity_max
from fpnprobe.attribution.methods import INTERNAL_BATCH, evaluating, on_features
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError

_KEPT = 0.8  # of the cells, when random cells are deleted
_RADIUS = 0.02  # of a level's standard deviation, when all features move


def robustness(
    chain: Chain,
    *,
    image: Tensor,
    ids: Tensor,
    method: str,
    at: Place,
    samples: int = 10,
    steps: int = 16,
    seed: int = 0,
    batch: int = INTERNAL_BATCH,
) -> pd.DataFrame:
    """Measure infidelity and sensitivity of maps (Yeh et al. 2019, Def. 2.1 and Eq. 3).

    *Infidelity*: mean squared difference between the change that the map predicts for deleting a
    random fifth of the cells and the change that happens, after the best common scale; in squared
    units of the value, lower is better. *Sensitivity*: largest relative change of the map when
    every feature moves by up to 2 % of its level's standard deviation; lower is better.

    Args:
        chain: The detector and its readout.
        image: `(1, 3, H, W)`.
        ids: Targets `(B,)`.
        method: A key of `fpnprobe.attribution.methods.METHODS`, but not conductance, which
            explains the image and not the features.
        at: The place.
        samples: Random deletions, and random moves.
        steps: Of integrated gradients.
        seed: Of both.
        batch: Most examples in memory at once.

    Returns:
        One row per target: `id`, `method`, `infidelity`, `sensitivity`.
    """
    if method == "conductance":
        raise FpnProbeError(
            "conductance explains the image, not features: judge it by deletion and insertion"
        )
    with evaluating(chain):
        features, tail = chain.features(image, at), chain.tail(at)

    def delete(inputs: Tensor | Levels) -> tuple[Levels, Levels]:
        levels = _as_levels(inputs)
        gone = tuple((torch.rand_like(x[:, :1]) > _KEPT).to(x).expand_as(x) for x in levels)
        return gone, tuple(x * (1 - g) for x, g in zip(levels, gone, strict=True))

    def move(inputs: Tensor | Levels, radius: float) -> Levels:
        levels = _as_levels(inputs)
        return tuple(x + radius * x.std() * (2 * torch.rand_like(x) - 1) for x in levels)

    rows = []
    with evaluating(chain), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for target in torch.split(ids, 1):

            def explain(inputs: Tensor | Levels, target: Tensor = target) -> Levels:
                levels = _as_levels(inputs)
                return on_features(
                    chain, levels, ids=target, method=method, at=at, steps=steps, batch=batch
                ).tensors

            # A map of one channel speaks for its whole cell: spread it over the channels.
            attributions = tuple(
                (map_ * (map_.shape[1] / level.shape[1])).expand_as(level)
                for map_, level in zip(explain(features), features, strict=True)
            )
            with torch.no_grad():
                unfaithful = infidelity(
                    tail,
                    delete,
                    features,
                    attributions,
                    additional_forward_args=(target,),
                    n_perturb_samples=samples,
                    max_examples_per_batch=min(batch, samples),
                    normalize=True,
                )
            sensitive = sensitivity_max(
                explain,
                features,
                perturb_func=move,
                perturb_radius=_RADIUS,
                n_perturb_samples=samples,
                max_examples_per_batch=1,
            )
            rows.append((int(target), method, float(unfaithful), float(sensitive)))
    return pd.DataFrame(rows, columns=["id", "method", "infidelity", "sensitivity"])


def _as_levels(inputs: Tensor | Levels) -> Levels:
    """Take levels as a tuple: captum hands over a bare tensor where there is one."""
    return (inputs,) if isinstance(inputs, Tensor) else inputs
