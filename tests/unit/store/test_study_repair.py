"""What is kept of a damaged `study.json`, entry by entry."""

from typing import Any

import pytest

from fpnprobe.store.study_repair import repair


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_seeds_are_kept(seed: int) -> None:
    assert repair({"seeds": [seed]}) == ({"seeds": [seed]}, ())


@pytest.mark.parametrize("seed", [-1, 2**63, True, "0", 1.0, None])
def test_what_is_no_seed_is_left_out(seed: Any) -> None:
    content, problems = repair({"seeds": [0, seed]})
    assert content == {"seeds": [0]}
    assert problems == ("an entry of 'seeds' is damaged and left out",)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ({"variant": "FPN", "seed": 0, "key": "ab12"}, True),
        ({"variant": 3, "seed": 0, "key": "ab12"}, False),
        ({"variant": "FPN", "seed": -1, "key": "ab12"}, False),
        ({"variant": "FPN", "seed": 0, "key": "../ab"}, False),
        ({"variant": "FPN", "seed": 0}, False),
        ("FPN", False),
    ],
)
def test_cells_are_kept_whole_or_not_at_all(cell: Any, kept: bool) -> None:
    content, problems = repair({"cells": [cell]})
    assert content["cells"] == ([cell] if kept else [])
    assert bool(problems) != kept
