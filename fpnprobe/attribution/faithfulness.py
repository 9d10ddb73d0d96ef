"""May a method's maps be trusted? Delete the cells they name, and see whether the value falls."""

import pandas as pd
import torch
from torch import Tensor

from fpnprobe.attribution.chain import Chain, Levels, Tail
from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.methods import INTERNAL_BATCH, evaluating
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError


def curves(
    chain: Chain,
    *,
    image: Tensor,
    ids: Tensor,
    maps: Maps,
    at: Place,
    points: int = 11,
    seed: int = 0,
    batch: int = INTERNAL_BATCH,
) -> pd.DataFrame:
    """Deletion and insertion of feature cells (Petsiuk et al. 2018, on levels instead of pixels).

    Cells (level, y, x) are ranked by their attribution. Deletion sets the first of them to zero
    and a faithful map makes the value fall at once; insertion starts from zeros, puts the first of
    them back and the value rises at once. The score is the mean of
    `(f - f(0)) / (f(x) - f(0))` over the points. The control is the same number of cells in random
    order, drawn from the cells that have any attribution: a map that only knows *where the RoI is*
    does not beat it.

    Args:
        chain: The detector and its readout.
        image: `(1, 3, H, W)`.
        ids: Targets `(B,)`, those of `maps`.
        maps: What is judged.
        at: The place of `maps`.
        points: Fractions of cells, evenly spaced from 0 to 1.
        seed: Of the random order.
        batch: Most examples in memory at once.

    Returns:
        One row per target and curve ("deletion", "insertion"): `id`, `method`, `curve`, `score`,
        `random`, and `gain` (how much better than random, positive is faithful).
    """
    if points < 3:
        raise FpnProbeError(f"points={points}: expected at least 3 fractions of cells")
    generator = torch.Generator().manual_seed(seed)
    rows = []
    with evaluating(chain), torch.no_grad():
        features, tail = chain.features(image, at), chain.tail(at)
        cells = torch.cat([c.flatten(1) for c in maps.cells()], dim=1).cpu()  # (B, N)
        for i, target in enumerate(ids.tolist()):
            score = cells[i]
            attributed_cells = (score != 0).nonzero()[:, 0]
            ranked = attributed_cells[score[attributed_cells].argsort(descending=True)]
            shuffled = attributed_cells[torch.randperm(len(attributed_cells), generator=generator)]
            judged = _mean_values(tail, features, target, ranked, points, batch)
            control = _mean_values(tail, features, target, shuffled, points, batch)
            for curve, sign in (("deletion", -1.0), ("insertion", 1.0)):
                rows.append(
                    {
                        "id": target,
                        "method": maps.method,
                        "curve": curve,
                        "score": judged[curve],
                        "random": control[curve],
                        "gain": sign * (judged[curve] - control[curve]),
                    }
                )
    return pd.DataFrame(rows, columns=["id", "method", "curve", "score", "random", "gain"])


def _mean_values(
    tail: Tail, features: Levels, target: int, order: Tensor, points: int, batch: int
) -> dict[str, float]:
    """Mean normalized value while cells go (deletion) or come (insertion) in this order."""
    sizes = [level.shape[-2:] for level in features]
    total = sum(h * w for h, w in sizes)
    counts = torch.linspace(0, len(order), points).round().long()
    masks = torch.ones(2 * points, total, dtype=features[0].dtype)
    for row, count in enumerate(counts):
        masks[row, order[:count]] = 0
    masks[points:] = 1 - masks[:points]  # inserted: what deletion takes away
    values = []
    for batch_masks in torch.split(masks, batch):
        level_masks = torch.split(batch_masks, [h * w for h, w in sizes], dim=1)
        masked_levels = tuple(
            level * level_mask.reshape(-1, 1, *size).to(level.device)
            for level, level_mask, size in zip(features, level_masks, sizes, strict=True)
        )
        values.append(tail(*masked_levels, torch.full((len(batch_masks),), target)))
    value = torch.cat(values).double().cpu()
    full, none = value[0], value[points]  # nothing deleted, nothing inserted
    normal = (value - none) / (full - none)
    return {
        "deletion": float(normal[:points].mean()),
        "insertion": float(normal[points:].mean()),
    }
