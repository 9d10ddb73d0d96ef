"""The words of a report, explained once: as hover text where they first stand, and as a section."""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from fpnprobe.figures.wording import bind

WORDS: dict[str, str] = {
    "stage": "Output of the backbone, C2 to C5: C2 is the shallowest and has a quarter of the "
    "image's resolution, each later one half of the one before.",
    "level": "Map of the pyramid, P2 to P6, on which objects of one size range are predicted; DC5 "
    "has none.",
    "tap": "Stage or level at which a gradient is read.",
    "route": "Way by which a gradient comes back to a stage: direct, auxiliary or deeper; the "
    "three add up to the total.",
    "direct": "Route from the pyramid's lateral connection (or the head, without a pyramid) "
    "straight into a stage.",
    "deeper": "Route through the next, deeper stage of the backbone.",
    "auxiliary": "Route from an auxiliary head that is attached to a stage in training only.",
    "bucket": "Range of object size, by the annotated area in the original image.",
    "background": "Loss rows that belong to no object.",
    "share": "A bucket's part of the summed squared gradient norms of all object buckets.",
    "all-object index": "How evenly a stage's gradient weighs objects of all sizes: 1 if one "
    "object counts as much as another, 1/3 (with three buckets) if a single size counts.",
    "AP": "Average precision in points (percent), mean over IoU 0.50 to 0.95; AP_S, AP_M and AP_L "
    "are of small, medium and large objects.",
    "DC5": "Baseline without a pyramid: one map from C5, dilated to stride 16.",
    "FPN": "Feature pyramid network, the pyramid that the paper examines.",
    "Aux": "FPN-Aux: auxiliary losses at C2 to C4 while training; FPN-AuxU weighs them by learned "
    "uncertainty.",
    "CFG": "Cascade feature grouping of the paper, with so many grouping stages.",
    "Wide": "Control with as many parameters as grouping has, without grouping.",
    "seed": "Training repeated with other random numbers.",
    "cell": "One variant trained with one seed.",
    "residual": "What is missing when parts are added up, relative to the whole.",
    "intervention": "Change of the backward pass alone while training; named after a ~.",
    "twin": "The same variant without the intervention.",
    "Cls": "Error type of TIDE: right place, wrong class.",
    "Loc": "Error type of TIDE: right class, box too far off.",
    "Both": "Error type of TIDE: wrong class and box too far off.",
    "Dupe": "Error type of TIDE: an object found twice.",
    "Bkg": "Error type of TIDE: found where nothing is.",
    "Miss": "Error type of TIDE: object not found.",
}
_FORMS = {
    "C2": "stage", "P2": "level", "stages": "stage", "levels": "level", "routes": "route",
    "buckets": "bucket", "shares": "share", "seeds": "seed", "cells": "cell",
    "residuals": "residual", "interventions": "intervention", "AP_S": "AP", "AP_L": "AP",
    "FPN-Aux": "Aux", "FPN-AuxU": "Aux", "FPN-CFG1": "CFG", "FPN-CFG2": "CFG", "FPN-CFG3": "CFG",
    "FPN-Wide": "Wide",
}  # fmt: skip
_TOLD = [form for form in (*WORDS, *_FORMS) if form not in ("Aux", "CFG", "Wide", "Both")]
_PATTERN = re.compile(
    r"(?<![\w~-])("
    + "|".join(re.escape(form) for form in sorted(_TOLD, key=len, reverse=True))
    + r")(?![\w~-])"
)


def coded(text: str) -> Markup:
    """The text as HTML; what stands between grave accents is code.

    >>> coded("type `fpnprobe <verb>` & wait")
    Markup('type <code>fpnprobe &lt;verb&gt;</code> &amp; wait')
    """
    parts = bind(str(text)).split("`")
    if len(parts) % 2 == 0:
        return escape(bind(str(text)))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part)
        for at, part in enumerate(parts)
    )


def explained(text: str) -> Markup:
    """The text as HTML, each word of the glossary explained where it first stands, code as code.

    >>> explained("a cell & a cell").count("<abbr")
    1
    """
    text = bind(text)
    spans = text.split("`")
    if len(spans) > 1 and len(spans) % 2:
        explained_terms: set[str] = set()
        return Markup("").join(
            Markup("<code>{}</code>").format(span)
            if at % 2
            else _explain_terms(span, explained_terms)
            for at, span in enumerate(spans)
        )
    return _explain_terms(text, set())


def _explain_terms(text: str, explained_terms: set[str]) -> Markup:
    """The text as HTML; `explained_terms` are explained already."""
    pieces: list[Markup] = []
    at = 0
    for match in _PATTERN.finditer(text):
        form = match[0]
        word = form if form in WORDS else _FORMS[form]
        if word in explained_terms:
            continue
        explained_terms.add(word)
        pieces += [
            escape(text[at : match.start()]),
            Markup('<abbr title="{}">{}</abbr>').format(WORDS[word], form),
        ]
        at = match.end()
    return Markup("").join([*pieces, escape(text[at:])])


def words_of(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The words that stand in some of these texts, with what they mean, in the glossary's order."""
    forms = {match[0] for text in texts for match in _PATTERN.finditer(text)}
    there = {form if form in WORDS else _FORMS[form] for form in forms}
    return [(word, meaning) for word, meaning in WORDS.items() if word in there]
