"""Entries of a damaged JSON object that have another type than they should."""

import pytest

from fpnprobe.store.documents import drop_wrong_types


@pytest.mark.parametrize("value", [True, False, "0", 1.0, [0]])
def test_no_truth_value_or_text_passes_for_a_number(value: object) -> None:
    assert drop_wrong_types({"seed": value}, {"seed": int}) == ({}, ("seed",))


@pytest.mark.parametrize("value", [0, 1, None])
def test_numbers_and_none_pass_for_a_number(value: object) -> None:
    assert drop_wrong_types({"seed": value}, {"seed": int}) == ({"seed": value}, ())


def test_truth_values_pass_where_they_are_expected() -> None:
    assert drop_wrong_types({"done": True}, {"done": bool}) == ({"done": True}, ())
