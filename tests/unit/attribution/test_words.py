"""The words of an attribution are those that the methods go by."""

from typing import get_args

import pytest

from fpnprobe.attribution.captum_methods import METHODS
from fpnprobe.attribution.words import Method, check_words
from fpnprobe.errors import FpnProbeError


def test_every_method_has_its_word() -> None:
    assert set(get_args(Method)) == set(METHODS)


@pytest.mark.parametrize("name", ["methods", "places", "kind"])
def test_an_unknown_word_is_told_with_those_that_are_known(name: str) -> None:
    words = {"methods": None, "places": None, "kind": "object"}
    wrong = "typo" if name == "kind" else ["typo"]
    with pytest.raises(FpnProbeError, match=r"'typo': expected \w+, "):
        check_words(**{**words, name: wrong})  # type: ignore[arg-type]
