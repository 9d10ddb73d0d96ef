"""Rules by which marks follow operators: one function a kind of operator, by its name.

The kinds are in files of their own: `moving`, `writing`, `choosing`, `pointwise`, `joining`.
"""

from collections.abc import Callable

from fpnprobe.probing.provenance.operation import Operation

Rule = Callable[[Operation], None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Function decorator: these operators follow this rule."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


@rule("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "nms", "deform_conv2d", "embedding")
def read_features(operation: Operation) -> None:
    """Features that are read at an object's place are not yet that object's loss: no marks."""
