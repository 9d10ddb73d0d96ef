"""Every measure of trust for every method, on the targets of one image."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from fpnprobe.attribution.captum_methods import METHODS
from fpnprobe.attribution.chain import Chain
from fpnprobe.attribution.faithfulness import curves
from fpnprobe.attribution.methods import INTERNAL_BATCH, attribute
from fpnprobe.attribution.robustness import robustness
from fpnprobe.attribution.sanity import randomization
from fpnprobe.attribution.words import Place
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.target import Target, reading

COLUMNS = (
    "image_id",
    "object",
    "method",
    "place",
    "deletion_gain",
    "insertion_gain",
    "infidelity",
    "sensitivity",
    "rank_correlation",
)


def trust(
    chain: Chain,
    image: DetectorImage,
    *,
    targets: Sequence[Target],
    methods: Sequence[str] = tuple(METHODS),
    at: Place = "stages",
    steps: int = 32,
    batch: int = INTERNAL_BATCH,
) -> pd.DataFrame:
    """Measure how far the maps of each method can be trusted.

    Returns:
        One row per target and method: `deletion_gain` and `insertion_gain` (above 0: better than
        the same cells in random order, see `faithfulness.curves`), `infidelity` and `sensitivity`
        (lower is better, see `robustness`; NaN for conductance), `rank_correlation` with the maps
        of shuffled weights (near 1: the map does not depend on what was learned, see `sanity`).
    """
    ids = torch.arange(len(targets), device=image.pixels.device)
    rows: list[pd.DataFrame] = []
    with reading(chain, targets):
        common: dict[str, Any] = {"image": image.pixels, "ids": ids, "at": at}
        for method in methods:
            maps = attribute(chain, method=method, steps=steps, internal_batch_size=batch, **common)
            judged = curves(chain, maps=maps, batch=batch, **common)
            wide = judged.pivot_table(index="id", columns="curve", values="gain", dropna=False)
            trust_table = pd.DataFrame({"id": range(len(targets)), "method": method})
            trust_table["deletion_gain"] = wide["deletion"].to_numpy()
            trust_table["insertion_gain"] = wide["insertion"].to_numpy()
            random = randomization(chain, methods=[method], steps=steps, batch=batch, **common)
            trust_table["rank_correlation"] = random["rank_correlation"].to_numpy()
            if method == "conductance":
                trust_table[["infidelity", "sensitivity"]] = float("nan")
            else:
                robustness_values = robustness(
                    chain, method=method, samples=5, batch=batch, **common
                )
                trust_table[["infidelity", "sensitivity"]] = robustness_values[
                    ["infidelity", "sensitivity"]
                ]
            rows.append(trust_table)
    table = pd.concat(rows, ignore_index=True)
    table["object"] = [targets[i].index for i in table["id"]]
    return table.assign(image_id=image.image_id, place=at)[list(COLUMNS)]


def by_method(table: pd.DataFrame) -> pd.DataFrame:
    """Median over the targets, by variant and method, and how many targets there were."""
    measures = list(COLUMNS[4:])
    groups = table.groupby(
        [*(c for c in ("study", "variant") if c in table), "place", "method"], sort=False
    )
    medians = groups[measures].median()
    medians["n_objects"] = groups.size()
    return medians.reset_index()
