"""Do the maps depend on what was learned? Weights are shuffled and the maps compared."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from fpnprobe.attribution.chain import Chain
from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.methods import INTERNAL_BATCH, STEPS, evaluating, on_features
from fpnprobe.attribution.words import Place


@contextmanager
def shuffled(module: nn.Module, *, seed: int = 0) -> Iterator[None]:
    """Shuffle the entries of every weight tensor of a module; put them back on leaving.

    Shuffling keeps the distribution of the weights and destroys what they say (Adebayo et al.
    2018 draw them anew, which also changes the scale of the features).

    >>> layer = nn.Linear(3, 3)
    >>> before = layer.weight.clone()
    >>> with shuffled(layer):
    ...     inside = layer.weight.detach().clone()
    >>> bool((inside == before).all()), bool((layer.weight == before).all())
    (False, True)
    """
    generator = torch.Generator().manual_seed(seed)
    weights = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    saved_weights = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight in weights:
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].reshape(weight.shape))
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, saved_weights, strict=True):
                weight.copy_(old)


def randomization(
    chain: Chain,
    *,
    image: Tensor,
    ids: Tensor,
    methods: Iterable[str],
    at: Place,
    steps: int = STEPS,
    seed: int = 0,
    batch: int = INTERNAL_BATCH,
) -> pd.DataFrame:
    """Return the rank correlation of the maps with those of shuffled weights (Adebayo et al. 2018).

    The features stay as they are and everything that reads them (neck, heads) is shuffled, so a
    high correlation means that a map shows the features and not the decision. Cells where both
    maps are exactly zero are left out: outside of an RoI every method agrees with itself.

    Returns:
        One row per target and method: `id`, `method`, `rank_correlation` (Spearman's, of the
        cells' absolute attribution), `cells`.
    """
    rows = []
    with evaluating(chain):
        readers_or_functions = [chain.neck, chain.readout] if at == "stages" else [chain.readout]
        readers = nn.ModuleList(
            [reader for reader in readers_or_functions if isinstance(reader, nn.Module)]
        )
        for method in methods:
            # The path of conductance starts at the image: it has no features of its own.
            inputs = (image,) if method == "conductance" else chain.features(image, at)

            def explain(method: str = method, inputs: tuple[Tensor, ...] = inputs) -> Maps:
                return on_features(
                    chain, inputs, ids=ids, method=method, at=at, steps=steps, batch=batch
                )

            trained = explain()
            with shuffled(readers, seed=seed):
                random = explain()
            rows += [
                (int(target), method, *_correlate_maps(trained, random, i))
                for i, target in enumerate(ids)
            ]
    return pd.DataFrame(rows, columns=["id", "method", "rank_correlation", "cells"])


def _correlate_maps(first: Maps, second: Maps, example: int) -> tuple[float, int]:
    a, b = (
        torch.cat([c[example].abs().flatten() for c in maps.cells()]).cpu().numpy()
        for maps in (first, second)
    )
    attributed = (a != 0) | (b != 0)
    if attributed.sum() < 3 or a[attributed].std() == 0 or b[attributed].std() == 0:
        return float("nan"), int(attributed.sum())
    return float(spearmanr(a[attributed], b[attributed]).statistic), int(attributed.sum())
