"""The words with which an attribution is asked for: methods, places, kinds of targets.

Nothing here needs torch, so that a misspelled word is told before it is imported.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from fpnprobe.errors import FpnProbeError

Method = Literal["activation_x_gradient", "integrated_gradients", "grad_cam", "conductance"]
Place = Literal["stages", "pyramid"]
Kind = Literal["detection", "object", "bucket"]


def check_words(
    *, methods: Sequence[str] | None, places: Sequence[str] | None, kind: str
) -> dict[str, Any]:
    """Arguments of `attribute_run` from words.

    Raises:
        FpnProbeError: For a word that is not known, with those that are.

    >>> check_words(methods=None, places=["stages"], kind="object")
    {'kind': 'object', 'places': ['stages'], 'methods': ('integrated_gradients',)}
    """
    for option, words, allowed in (
        ("method", methods or (), get_args(Method)),
        ("place", places or (), get_args(Place)),
        ("kind", (kind,), get_args(Kind)),
    ):
        for word in words:
            if word not in allowed:
                raise FpnProbeError(f"unknown {option} {word!r}: expected {', '.join(allowed)}")
    return {
        "kind": kind,
        "places": list(places) if places else None,
        "methods": tuple(methods) if methods else ("integrated_gradients",),
    }


def check_seeds(text: str) -> tuple[int, ...]:
    """Seeds from `0,1`; none from an empty text.

    Raises:
        FpnProbeError: For anything else.

    >>> check_seeds("0, 1")
    (0, 1)
    """
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise FpnProbeError(f"--seeds {text!r}: expected numbers, as 0,1") from None
