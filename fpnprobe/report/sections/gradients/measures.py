"""What is set against AP, of the backbone's stages, and what reports call it."""

import pandas as pd

from fpnprobe.report.tables.stored import Stored

LEDGERS = {"training": "training", "end": "the same images, at the end"}
_KINDS = ("activation", "update")  # a stage's parameters say the same as its output


def stage_measures(table: pd.DataFrame, stored: Stored) -> pd.DataFrame:
    """The rows of an association table that are of stages, with `measure` in words."""
    cosines = table["measure"].str.endswith("_cosine")
    table = table[table["tap"].str.fullmatch(r"C\d+") & (table["kind"].isin(_KINDS) | cosines)]
    smallest, largest = stored.buckets[0], stored.buckets[-1]
    words = {
        "index": "all-object index",
        "large_share": f"share of {largest} objects",
        "route_cosine": f"cosine of {largest} objects' direct and deeper gradient",
        "size_cosine": f"cosine of {smallest} and {largest} objects, in parameters",
    }
    in_step = (table["kind"] == "update").map({True: " in the optimizer's step", False: ""})
    return table.assign(measure=table["measure"].map(words) + in_step)
