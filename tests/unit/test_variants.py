"""The one grammar of variant names."""

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import select_names, suggest
from fpnprobe.variants import (
    BUILT_IN_VARIANTS,
    MORE_VARIANTS,
    PAPER_VARIANTS,
    PYRAMIDS,
    SUPERVISIONS,
    VariantName,
    slug,
    split_variant,
)


@pytest.mark.parametrize("name", [*BUILT_IN_VARIANTS, "DC5-AuxU", "FPN-CFG3-Aux", "FPN-CFG9"])
def test_names_are_a_pyramid_and_its_supervision(name: str) -> None:
    parsed = VariantName.parse(name)
    assert parsed.pyramid in PYRAMIDS
    assert parsed.supervision in ("", *SUPERVISIONS)
    parts = (parsed.pyramid, parsed.supervision, parsed.loss_rule)
    assert "-".join(part for part in parts if part) == name


@pytest.mark.parametrize(
    "name", ["FPN-CFG0", "fpn", "FPN-AuxV", "FPN-CFG10", "", "DC5~x", "-Aux", "FPN-", "FPN-Aux-Aux"]
)
def test_other_names_are_errors_with_the_nearest(name: str) -> None:
    with pytest.raises(FpnProbeError, match=r"unknown variant .*(did you mean|known:)"):
        VariantName.parse(name)


def test_users_pyramids_take_part() -> None:
    assert VariantName.parse("Mine-AuxU", ["Mine"]) == VariantName("Mine", "AuxU")
    assert VariantName.parse("Mine-Aux", ["Mine-Aux"]) == VariantName("Mine-Aux", "")


def test_the_lists_have_no_name_twice() -> None:
    assert len(set(BUILT_IN_VARIANTS)) == len(PAPER_VARIANTS) + len(MORE_VARIANTS)
    assert len({slug(name) for name in BUILT_IN_VARIANTS}) == len(BUILT_IN_VARIANTS)


def test_half_a_name_is_refused() -> None:
    assert split_variant("FPN-CFG1~cut-direct") == ("FPN-CFG1", "cut-direct")
    for name in ("FPN~", "~cut-direct", "~"):
        with pytest.raises(FpnProbeError, match="half a name"):
            split_variant(name)


def test_folders_are_distinct_and_inside() -> None:
    assert slug("FPN~cut-direct") != slug("FPN-cut-direct")
    assert [slug(name) for name in ("A/../b", "..", "~", "")] == [
        "a-b", "variant", "variant", "variant",
    ]  # fmt: skip


def test_suggestions_hit() -> None:
    keys = ["schedule.lr", "schedule.amp", "schedule.clip", "schedule", "seeds"]
    assert suggest("shedule", keys, count=1) == "did you mean schedule?"
    assert suggest("fpn-auxu", BUILT_IN_VARIANTS) == "did you mean FPN-AuxU?"
    assert suggest("zzz", map(str, range(100))).endswith("and 88 more")
    assert len(suggest("x" * 100_000, ["xa", "b"])) < 200


def test_names_are_selected_in_the_order_that_exists() -> None:
    assert select_names(["b", "a"], ["a", "b", "c"], "variant") == ("a", "b")
    with pytest.raises(FpnProbeError, match="unknown variant 'd'"):
        select_names(["d"], ["a"], "variant")
