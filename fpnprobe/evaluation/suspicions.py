"""Detections whose boxes seem to be written in another form, told in one line.

Nothing is converted: a file does not say its form. Two things are asked. Do the boxes stick out of
their images, and would all fit in another form? And do the best ones meet objects much better in
another form than as they are written?
"""

from dataclasses import replace

import numpy as np

from fpnprobe.data.box_forms import FORMS, suspected_form, to_plain
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth
from fpnprobe.evaluation.overlap import overlapping

_BEST = 2000  # detections that are looked at
_OVERLAP = 0.75
_SHARE, _TIMES, _FEWEST = 0.1, 3, 2


def warn_of(truth: GroundTruth, found: Detections) -> tuple[str, ...]:
    """Lines about detections, or objects, that a person should know of before the numbers."""
    lines = [suspect_form(truth, found)]
    if truth.unmasked:
        lines.append(
            f"{truth.unmasked} of {len(truth.image)} objects have no mask and count neither way"
        )
    return tuple(line for line in lines if line)


def suspect_form(truth: GroundTruth, found: Detections) -> str | None:
    """One line about boxes that seem to be of another form than x, y, width, height, or None."""
    if not len(found) or found.masks:
        return None
    sizes = truth.sizes[found.image]
    form = suspected_form(found.boxes, sizes)
    if form is not None:
        out = (found.boxes[:, :2] + found.boxes[:, 2:] > sizes[:, ::-1]).any(axis=1)
        why = (
            "all boxes lie within 1 px"
            if form == "relative"
            else f"{int(out.sum())} of {len(found)} boxes stick out of their image"
        )
        return _line(found, form, why, int(out.argmax()))
    best = np.argsort(-found.scores, kind="stable")[:_BEST]
    part = replace(
        found,
        image=found.image[best],
        category=found.category[best],
        boxes=found.boxes[best],
        areas=found.areas[best],
        scores=found.scores[best],
    )
    own_sizes = sizes[best].astype(np.float64)

    def hits(boxes: Floats) -> int:
        given = replace(part, boxes=boxes, areas=boxes[:, 2] * boxes[:, 3])
        pairs = overlapping(truth, given, iou_type="bbox", least=_OVERLAP, across_categories=True)
        return len(np.unique(pairs.found))

    plain = hits(part.boxes)
    counts = {form: hits(to_plain(part.boxes, form, own_sizes).clip(min=0)) for form in FORMS}
    form = max(counts, key=lambda each: counts[each])
    if counts[form] < max(_FEWEST, _SHARE * len(best), _TIMES * plain):
        return None
    why = f"{plain} of the {len(best)} best boxes lie on an object, and {counts[form]} would"
    return _line(found, form, why, int(best[0]))


def _line(found: Detections, form: str, why: str, row: int) -> str:
    return (
        f"{found.where}: {why}: they look like {FORMS[form]}; expected x, y, width, height in px "
        f"(first: entry {row}, bbox {found.boxes[row].tolist()})"
    )
