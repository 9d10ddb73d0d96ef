"""Prepares annotations for use: boxes clipped, objects left out, each with a count.

The field leaves out what has no extent, what lies outside of its image, and what the file itself
says to ignore (mmdet's `CocoDataset`, among others); COCO's train2017 holds two of the first kind.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fpnprobe.data.annotation_file import box_forms
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.identity import Keys
from fpnprobe.data.annotation_file.pictures import LARGEST_SIDE
from fpnprobe.data.annotation_file.problems import Notice, Problems, shown
from fpnprobe.errors import FpnProbeError

_TOLERANCE = 0.01  # px; COCO's own boxes are rounded to hundredths
Marks = npt.NDArray[np.bool_]


def usable(annotations: Annotations) -> tuple[Annotations, tuple[Notice, ...]]:
    """The annotations as every step uses them, and what was left out or changed.

    Boxes are clipped to their images; `area` stays what the annotators measured, unless it is that
    of the boxes: what no clipped box can hold becomes the area of the box. The result of a result
    is itself.

    Raises:
        FpnProbeError: Where the meaning of the file would have to be guessed.
    """
    _check_images(annotations)
    notices: list[Notice] = []
    if annotations.repeated_ids:
        total = len(annotations.image)
        sentence = "repeat the id of another one; nothing depends on it"
        notices.append(
            Notice(sentence, annotations.repeated_ids, total, "annotations", annotations.where)
        )
    result = _unique_names(annotations, notices)
    if annotations.mask_problem is not None:
        raise FpnProbeError(annotations.mask_problem)
    result = _leave_out(result, result.ignore, "are marked `ignore` and are left out", notices)
    no_area = (result.areas <= 0) & (not result.area_of_box)
    flat = np.asarray((result.boxes[:, 2:] <= 0).any(axis=1) | no_area)
    result = _leave_out(result, flat, "have no extent (box or area 0) and are left out", notices)
    form = _check_form(result)
    limits = result.sizes[result.image][:, ::-1].astype(np.float64)
    low = result.boxes[:, :2].clip(min=0)
    high = np.minimum(result.boxes[:, :2] + result.boxes[:, 2:], limits)
    outside = np.asarray((high <= low).any(axis=1))
    _note_form(result, form, notices)
    result = _leave_out(result, outside, "lie outside of their image and are left out", notices)
    low, high = low[~outside], high[~outside]
    _check_areas(result)
    result = _clip(result, np.concatenate([low, high - low], axis=1), notices)
    _note_short(result, notices)
    return result, tuple(notices)


def _check_images(annotations: Annotations) -> None:
    total = len(annotations.image_keys)
    if not total:
        raise FpnProbeError(f"{annotations.where} lists no image: expected at least one")
    problems = Problems(annotations.where, "images")
    for index in np.flatnonzero((annotations.sizes == 0).any(axis=1)):
        side = ("height", "width")[int(annotations.sizes[index].argmin())]
        image = f"image {shown(annotations.image_keys.values[index])}"
        problems.add(f"have no {side!r}", image, "add height and width in px")
    for index, name in enumerate(annotations.image_names):
        if not name:
            image = f"image {shown(annotations.image_keys.values[index])}"
            problems.add("have no 'file_name'", image, "add the name of the image file")
    problems.refuse(total)


def _unique_names(annotations: Annotations, notices: list[Notice]) -> Annotations:
    """The file without categories that repeat a name and have no object, as Roboflow writes."""
    names = annotations.category_names
    problems = Problems(annotations.where, "categories")
    for key, name in zip(annotations.category_keys.values, names, strict=True):
        if not name.strip():
            problems.add("have no name", f"category {shown(key)}", "give each a name")
    problems.refuse(len(names))
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not repeated:
        return annotations
    objects = np.bincount(annotations.category, minlength=len(names))
    remaining = list(range(len(names)))
    for name in repeated:
        places = [index for index in remaining if names[index] == name]
        occupied = [index for index in places if objects[index]]
        if len(occupied) > 1:
            ids = " and ".join(
                shown(annotations.category_keys.values[index]) for index in occupied[:2]
            )
            raise FpnProbeError(
                f"{annotations.where}: {len(occupied)} categories with objects are named "
                f"{shown(name)} (ids {ids}): rename one, or make them one category"
            )
        for index in places:
            if index != (occupied or places)[0]:
                remaining.remove(index)
    sentence = "repeat a name, have no object and are left out"
    count = len(names) - len(remaining)
    notices.append(Notice(sentence, count, len(names), "categories", shown(repeated[0])))
    return annotations.take_categories(remaining)


def _leave_out(
    annotations: Annotations, marks: Marks, sentence: str, notices: list[Notice]
) -> Annotations:
    if not marks.any():
        return annotations
    row = int(marks.argmax())
    example = (
        f"{annotations.name_of(row)}, bbox {annotations.boxes[row].tolist()}, area "
        f"{annotations.areas[row]:g}"
    )
    notices.append(Notice(sentence, int(marks.sum()), len(marks), "annotations", example))
    return annotations.take(~marks)


def _check_form(annotations: Annotations) -> str | None:
    """The form that the boxes seem to have; refuse where no box has the size of a pixel."""
    form = box_forms.suspected_form(annotations.boxes, annotations.sizes[annotations.image])
    if form == "relative":
        raise FpnProbeError(
            f"{annotations.where}: all {len(annotations.boxes)} boxes lie within 1 px (first: "
            f"{annotations.name_of(0)}, bbox {annotations.boxes[0].tolist()}): they look like "
            "shares of the image's sides; expected x, y, width, height in px"
        )
    return form


def _note_form(annotations: Annotations, form: str | None, notices: list[Notice]) -> None:
    if form is None:
        return
    size = annotations.sizes[annotations.image][:, ::-1]
    out = np.asarray(((annotations.boxes[:, :2] + annotations.boxes[:, 2:]) > size).any(axis=1))
    row = int(out.argmax())
    example = f"{annotations.name_of(row)}, bbox {annotations.boxes[row].tolist()}"
    sentence = (
        f"stick out of their image, and all look like {box_forms.FORMS[form]}: is it x, y, width, "
        "height?"
    )
    notices.append(Notice(sentence, int(out.sum()), len(out), "boxes", example))


def _check_areas(annotations: Annotations) -> None:
    """Refuse an object that is larger than its box, or a file whose areas are no px^2."""
    if annotations.area_of_box or not len(annotations.areas):
        return
    large = (annotations.areas > _largest_areas(annotations.boxes)) & ~annotations.crowd
    problems = Problems(annotations.where, "annotations")
    fix = 'correct it, or take it from the boxes: area="box" (`--set data.area=box`, `--area box`)'
    if large.any():
        row = int(large.argmax())
        example = (
            f"{annotations.name_of(row)}, bbox {annotations.boxes[row].tolist()}, area "
            f"{annotations.areas[row]:g}"
        )
        problem = "have an area that is larger than their box"
        problems.add(problem, example, fix, count=int(large.sum()))
    of_boxes = annotations.boxes[:, 2:].clip(max=LARGEST_SIDE).prod(axis=1)
    if annotations.areas.max() <= 1 and np.median(of_boxes) > 16:
        example = f"{annotations.name_of(0)}, area {annotations.areas[0]:g}"
        problems.add("have an area of at most 1, which looks like a share", example, fix)
    problems.refuse(len(annotations.areas))


def _largest_areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the largest areas that objects in boxes `(N, 4)` may have, in px^2.

    A mask drawn over whole pixels may reach one pixel out of a box of its corners on each side.
    """
    sides = boxes[:, 2:].clip(max=LARGEST_SIDE)  # where nothing was clipped to an image
    return np.asarray((sides + 2).prod(axis=1) * 1.05)


def _clip(
    annotations: Annotations, inside: npt.NDArray[np.float64], notices: list[Notice]
) -> Annotations:
    moved = np.asarray(np.abs(inside - annotations.boxes).max(axis=1, initial=0) > _TOLERANCE)
    if not moved.any():
        return annotations
    row = int(moved.argmax())
    example = f"{annotations.name_of(row)}, bbox {annotations.boxes[row].tolist()}"
    sentence = "stick out of their image and were clipped"
    notices.append(Notice(sentence, int(moved.sum()), len(moved), "boxes", example))
    boxes = np.where(moved[:, None], inside, annotations.boxes)
    of_boxes = boxes[:, 2] * boxes[:, 3]
    if annotations.area_of_box:
        return replace(annotations, boxes=boxes, areas=of_boxes)
    # an area that was taken from the whole box is not that of what lies in the image
    of_whole = moved & (annotations.areas > _largest_areas(boxes))
    areas = np.where(of_whole, of_boxes, annotations.areas)
    return replace(annotations, boxes=boxes, areas=areas)


def _note_short(annotations: Annotations, notices: list[Notice]) -> None:
    if not len(annotations.short):
        return
    row = int(annotations.short[0])
    sentence = "have outlines of fewer than three points, which are left out of their mask"
    count, total = len(annotations.short), len(annotations.image)
    notices.append(Notice(sentence, count, total, "annotations", annotations.name_of(row)))


def with_plain_ids(annotations: Annotations) -> Annotations:
    """The same with ids that are whole numbers below 2^53; see `Keys.numbers`."""
    if annotations.image_keys.plain and annotations.category_keys.plain:
        return annotations
    return replace(
        annotations,
        image_keys=Keys(tuple(annotations.image_keys.numbers.tolist())),
        category_keys=Keys(tuple(annotations.category_keys.numbers.tolist())),
    )
