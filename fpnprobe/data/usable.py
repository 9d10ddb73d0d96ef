"""What of an annotation file is used: boxes clipped, objects left out, each with a count.

The field leaves out what has no extent, what lies outside of its image, and what the file itself
says to ignore (mmdet's `CocoDataset`, among others); COCO's train2017 holds two of the first kind.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fpnprobe.data import box_forms
from fpnprobe.data.annotations import Annotations
from fpnprobe.data.identity import Keys
from fpnprobe.data.pictures import LARGEST_SIDE
from fpnprobe.data.problems import Notice, Problems, shown
from fpnprobe.errors import FpnProbeError

_TOLERANCE = 0.01  # px; COCO's own boxes are rounded to hundredths
Marks = npt.NDArray[np.bool_]


def usable(given: Annotations) -> tuple[Annotations, tuple[Notice, ...]]:
    """The annotations as every step uses them, and what was left out or changed.

    Boxes are clipped to their images; `area` stays what the annotators measured, unless it is that
    of the boxes. The result of a result is itself.

    Raises:
        FpnProbeError: where the meaning of the file would have to be guessed.
    """
    _check_images(given)
    notices: list[Notice] = []
    if given.repeated_ids:
        total = len(given.image)
        what = "repeat the id of another one; nothing depends on it"
        notices.append(Notice(what, given.repeated_ids, total, "annotations", given.where))
    found = _unique_names(given, notices)
    if given.mask_problem is not None:
        raise FpnProbeError(given.mask_problem)
    found = _leave_out(found, found.ignore, "are marked `ignore` and are left out", notices)
    no_area = (found.areas <= 0) & (not found.area_of_box)
    flat = np.asarray((found.boxes[:, 2:] <= 0).any(axis=1) | no_area)
    found = _leave_out(found, flat, "have no extent (box or area 0) and are left out", notices)
    form = _check_form(found)
    limits = found.sizes[found.image][:, ::-1].astype(np.float64)
    low = found.boxes[:, :2].clip(min=0)
    high = np.minimum(found.boxes[:, :2] + found.boxes[:, 2:], limits)
    outside = np.asarray((high <= low).any(axis=1))
    _note_form(found, form, notices)
    found = _leave_out(found, outside, "lie outside of their image and are left out", notices)
    low, high = low[~outside], high[~outside]
    _check_areas(found)
    found = _clip(found, np.concatenate([low, high - low], axis=1), notices)
    _note_short(found, notices)
    return found, tuple(notices)


def _check_images(given: Annotations) -> None:
    total = len(given.image_keys)
    if not total:
        raise FpnProbeError(f"{given.where} lists no image: expected at least one")
    problems = Problems(given.where, "images")
    for place in np.flatnonzero((given.sizes == 0).any(axis=1)):
        side = ("height", "width")[int(given.sizes[place].argmin())]
        image = f"image {shown(given.image_keys.values[place])}"
        problems.add(f"have no {side!r}", image, "add height and width in px")
    for place, name in enumerate(given.image_names):
        if not name:
            image = f"image {shown(given.image_keys.values[place])}"
            problems.add("have no 'file_name'", image, "add the name of the image file")
    problems.refuse(total)


def _unique_names(given: Annotations, notices: list[Notice]) -> Annotations:
    """The file without categories that repeat a name and have no object, as Roboflow writes."""
    names = given.category_names
    problems = Problems(given.where, "categories")
    for key, name in zip(given.category_keys.values, names, strict=True):
        if not name.strip():
            problems.add("have no name", f"category {shown(key)}", "give each a name")
    problems.refuse(len(names))
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if not repeated:
        return given
    objects = np.bincount(given.category, minlength=len(names))
    kept = list(range(len(names)))
    for name in repeated:
        places = [place for place in kept if names[place] == name]
        used = [place for place in places if objects[place]]
        if len(used) > 1:
            ids = " and ".join(shown(given.category_keys.values[place]) for place in used[:2])
            raise FpnProbeError(
                f"{given.where}: {len(used)} categories with objects are named {shown(name)} (ids "
                f"{ids}): rename one, or make them one category"
            )
        for place in places:
            if place != (used or places)[0]:
                kept.remove(place)
    what = "repeat a name, have no object and are left out"
    count = len(names) - len(kept)
    notices.append(Notice(what, count, len(names), "categories", shown(repeated[0])))
    return given.take_categories(kept)


def _leave_out(given: Annotations, marks: Marks, what: str, notices: list[Notice]) -> Annotations:
    if not marks.any():
        return given
    row = int(marks.argmax())
    example = f"{given.name_of(row)}, bbox {given.boxes[row].tolist()}, area {given.areas[row]:g}"
    notices.append(Notice(what, int(marks.sum()), len(marks), "annotations", example))
    return given.take(~marks)


def _check_form(given: Annotations) -> str | None:
    """The form that the boxes seem to have; refuse where no box has the size of a pixel."""
    form = box_forms.suspected_form(given.boxes, given.sizes[given.image])
    if form == "relative":
        raise FpnProbeError(
            f"{given.where}: all {len(given.boxes)} boxes lie within 1 px (first: "
            f"{given.name_of(0)}, bbox {given.boxes[0].tolist()}): they look like shares of the "
            "image's sides; expected x, y, width, height in px"
        )
    return form


def _note_form(given: Annotations, form: str | None, notices: list[Notice]) -> None:
    if form is None:
        return
    size = given.sizes[given.image][:, ::-1]
    out = np.asarray(((given.boxes[:, :2] + given.boxes[:, 2:]) > size).any(axis=1))
    row = int(out.argmax())
    example = f"{given.name_of(row)}, bbox {given.boxes[row].tolist()}"
    what = (
        f"stick out of their image, and all look like {box_forms.FORMS[form]}: is it x, y, width, "
        "height?"
    )
    notices.append(Notice(what, int(out.sum()), len(out), "boxes", example))


def _check_areas(given: Annotations) -> None:
    """Refuse an object that is larger than its box, or a file whose areas are no px^2."""
    if given.area_of_box or not len(given.areas):
        return
    sides = given.boxes[:, 2:].clip(max=LARGEST_SIDE)  # where nothing was clipped to an image
    # a mask drawn over whole pixels may reach one pixel out of a box of its corners on each side
    most = (sides + 2).prod(axis=1) * 1.05
    large = (given.areas > most) & ~given.crowd
    problems = Problems(given.where, "annotations")
    fix = 'correct it, or take it from the boxes: area="box" (`--set data.area=box`, `--area box`)'
    if large.any():
        row = int(large.argmax())
        example = (
            f"{given.name_of(row)}, bbox {given.boxes[row].tolist()}, area {given.areas[row]:g}"
        )
        what = "have an area that is larger than their box"
        problems.add(what, example, fix, count=int(large.sum()))
    if given.areas.max() <= 1 and np.median(sides.prod(axis=1)) > 16:
        example = f"{given.name_of(0)}, area {given.areas[0]:g}"
        problems.add("have an area of at most 1, which looks like a share", example, fix)
    problems.refuse(len(given.areas))


def _clip(
    given: Annotations, inside: npt.NDArray[np.float64], notices: list[Notice]
) -> Annotations:
    moved = np.asarray(np.abs(inside - given.boxes).max(axis=1, initial=0) > _TOLERANCE)
    if not moved.any():
        return given
    row = int(moved.argmax())
    example = f"{given.name_of(row)}, bbox {given.boxes[row].tolist()}"
    what = "stick out of their image and were clipped"
    notices.append(Notice(what, int(moved.sum()), len(moved), "boxes", example))
    boxes = np.where(moved[:, None], inside, given.boxes)
    areas = boxes[:, 2] * boxes[:, 3] if given.area_of_box else given.areas
    return replace(given, boxes=boxes, areas=areas)


def _note_short(given: Annotations, notices: list[Notice]) -> None:
    if not len(given.short):
        return
    row = int(given.short[0])
    what = "have outlines of fewer than three points, which are left out of their mask"
    count, total = len(given.short), len(given.image)
    notices.append(Notice(what, count, total, "annotations", given.name_of(row)))


def with_plain_ids(given: Annotations) -> Annotations:
    """The same with ids that are whole numbers below 2^53; see `Keys.numbers`."""
    if given.image_keys.plain and given.category_keys.plain:
        return given
    return replace(
        given,
        image_keys=Keys(tuple(given.image_keys.numbers.tolist())),
        category_keys=Keys(tuple(given.category_keys.numbers.tolist())),
    )
