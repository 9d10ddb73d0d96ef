"""Detections whose boxes seem to be written in another form, told in one line.

Nothing is converted: a file does not say its form. Two things are asked. Do the boxes stick out of
their images, and would all fit in another form? And do the best ones meet objects much better in
another form than as they are written?
"""

from dataclasses import replace

import numpy as np

from fpnprobe.data.annotation_file.box_forms import FORMS, suspected_form, to_plain
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import Floats, GroundTruth
from fpnprobe.evaluation.matching.overlap import overlapping

_BEST = 2000  # detections that are looked at
_OVERLAP = 0.75
_SHARE, _TIMES, _FEWEST = 0.1, 3, 2


def warn_of(truth: GroundTruth, detections: Detections) -> tuple[str, ...]:
    """Write lines about detections, or objects, that a person should read before the numbers."""
    lines = [suspect_form(truth, detections)]
    if truth.unmasked:
        lines.append(
            f"{truth.unmasked} of {len(truth.image)} objects have no mask and count neither way"
        )
    return tuple(line for line in lines if line)


def suspect_form(truth: GroundTruth, detections: Detections) -> str | None:
    """One line about boxes that seem to be of another form than x, y, width, height, or None."""
    if not len(detections) or detections.masks:
        return None
    sizes = truth.sizes[detections.image]
    form = suspected_form(detections.boxes, sizes)
    if form is not None:
        out = (detections.boxes[:, :2] + detections.boxes[:, 2:] > sizes[:, ::-1]).any(axis=1)
        why = (
            "all boxes lie within 1 px"
            if form == "relative"
            else f"{int(out.sum())} of {len(detections)} boxes stick out of their image"
        )
        return _describe_suspicion(detections, form, why, int(out.argmax()))
    best = np.argsort(-detections.scores, kind="stable")[:_BEST]
    best_detections = replace(
        detections,
        image=detections.image[best],
        category=detections.category[best],
        boxes=detections.boxes[best],
        areas=detections.areas[best],
        scores=detections.scores[best],
    )
    own_sizes = sizes[best].astype(np.float64)

    def hits(boxes: Floats) -> int:
        converted = replace(best_detections, boxes=boxes, areas=boxes[:, 2] * boxes[:, 3])
        pairs = overlapping(
            truth, converted, iou_type="bbox", least=_OVERLAP, across_categories=True
        )
        return len(np.unique(pairs.detection))

    plain = hits(best_detections.boxes)
    counts = {
        form: hits(to_plain(best_detections.boxes, form, own_sizes).clip(min=0)) for form in FORMS
    }
    form = max(counts, key=lambda form_name: counts[form_name])
    if counts[form] < max(_FEWEST, _SHARE * len(best), _TIMES * plain):
        return None
    why = f"{plain} of the {len(best)} best boxes lie on an object, and {counts[form]} would"
    return _describe_suspicion(detections, form, why, int(best[0]))


def _describe_suspicion(detections: Detections, form: str, why: str, row: int) -> str:
    return (
        f"{detections.where}: {why}: they look like {FORMS[form]}; expected x, y, width, height "
        f"in px (first: entry {row}, bbox {detections.boxes[row].tolist()})"
    )
