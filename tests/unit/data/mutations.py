"""Good data folders with something odd in them, as people and programs write them."""

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck
from hypothesis import strategies as st

Content = dict[str, Any]
Changes = list[Callable[[Content], None]]
RELAXED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
DELETED = object()

_SIZES = ((48, 64), (40, 40), (64, 48))


def good(split: int) -> Content:
    """Three images, objects of all kinds of masks, a crowd, a category without objects."""
    images = [
        {"id": 10 * split + i, "file_name": f"{split}{i}.png", "width": w, "height": h}
        for i, (h, w) in enumerate(_SIZES)
    ]
    boxes = [(0, 2, 3, 10, 8), (0, 20, 5, 40, 36), (1, 4, 4, 30, 20), (2, 1, 1, 9, 9)]
    annotations: list[Content] = []
    for number, (image, x, y, w, h) in enumerate(boxes):
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        entry = {"id": number + 1, "image_id": images[image]["id"], "category_id": 1 + number % 2}
        mask: Any = [polygon]
        if number == 2:
            pixels = np.zeros(_SIZES[image], np.uint8)
            pixels[y : y + h, x : x + w] = 1
            mask = {"size": list(_SIZES[image]), "counts": _runs(pixels)}
        annotations.append(
            {**entry, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0, "segmentation": mask}
        )
    crowd = {**annotations[2], "id": 9, "iscrowd": 1, "category_id": 2}
    categories = [{"id": i, "name": name} for i, name in ((1, "ring"), (2, "cube"), (7, "none"))]
    return {"images": images, "annotations": [*annotations, crowd], "categories": categories}


def _runs(pixels: np.ndarray) -> list[int]:  # type: ignore[type-arg]
    flat = pixels.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat, prepend=0, append=flat[-1] + 1))
    return [int(run) for run in np.diff(borders, prepend=0)]


ODD: tuple[Any, ...] = (
    DELETED, None, True, False, 0, 1, -1, 2, 0.0, 0.5, 3.0, -0.001, "", "0", "1", "7", "ring", "ü",
    "a\0b", "\ud800", "../00.png", "/etc/hostname", "sub\\00.png", "x" * 5000, [], {}, [None],
    [1, 2, 3], [1, 2, 3, 4], ["1", "2", "3", "4"], [0, 0, 0, 0], [-9, -9, 20, 20], [60, 40, 50, 50],
    [500, 500, 5, 5], [2, 3, -4, 5], [5, 5, 1e-9, 1e-9], [0.1, 0.1, 0.2, 0.2], [1e308, 1, 1e308, 1],
    [float("nan"), 1, 2, 3], [[1, 2, 3, 4, 5, 6]], [[1, 2, 3]], [[]], [[1, 1, 1, 1, 1, 1]],
    [[2, 3, 22, 3, 22, 18, 2, 2e8]], [[-1e308, 0, 5, 5, 9, 9]], [[-4, 3, 22, 3, 70, 18]],
    [1, 2, 3, 4, 5, 6], {"size": [48, 64], "counts": "a"}, {"size": [9, 9], "counts": [81]},
    {"size": [48, 64], "counts": [3072]}, {"size": [48, 64], "counts": "zzzz"}, {"size": [48]},
    {"counts": []}, float("nan"), float("inf"), float("-inf"), 2**53 + 1, 2**63, -(2**63) - 1,
    10**400, 1e-300, 1e300,
)  # fmt: skip
FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": (
        "id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "ignore",
    ),
    "categories": ("id", "name"),
}  # fmt: skip


def _set(part: str, number: int, key: str, value: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        entry = content[part][number % max(1, len(content[part]))]
        if value is DELETED:
            entry.pop(key, None)
        else:
            entry[key] = copy.deepcopy(value)

    return change


def _all(part: str, key: str, of: Callable[[Any], Any]) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for entry in content[part]:
            entry[key] = of(entry.get(key))

    return change


def _ids(key: str, part: str, of: Callable[[Any], Any]) -> Callable[[Content], None]:
    """Other ids, and the pointers to them."""

    def change(content: Content) -> None:
        _all(part, "id", of)(content)
        _all("annotations", key, of)(content)

    return change


def _repeat(part: str, number: int) -> Callable[[Content], None]:
    return lambda content: content[part].append(
        copy.deepcopy(content[part][number % max(1, len(content[part]))])
    )


def _drop(part: str, number: int) -> Callable[[Content], None]:
    return lambda content: content[part].pop(number % max(1, len(content[part]))) and None


def _replace(part: str, number: int, value: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content[part][number % max(1, len(content[part]))] = value

    return change


_NEW_IDS: tuple[Callable[[Any], Any], ...] = (
    str, lambda i: f"frame {i}", lambda i: i + 2**53, lambda i: i * 10**30, float,
    lambda i: -i, lambda i: i if i % 2 else str(i),
)  # fmt: skip
_WHOLE: tuple[Callable[[Content], None], ...] = (
    *(_ids("image_id", "images", of) for of in _NEW_IDS),
    *(_ids("category_id", "categories", of) for of in _NEW_IDS),
    _all("categories", "name", lambda _: "same"),
    _all("categories", "name", lambda _: 3),
    _all("annotations", "id", lambda _: 1),
    _all("annotations", "iscrowd", lambda _: True),
    _all("annotations", "area", lambda _: None),
    _all("annotations", "area", lambda area: area / 3072),
    _all("annotations", "segmentation", lambda _: []),
    _all("annotations", "bbox", lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]] if b else b),
    _all("annotations", "bbox", lambda b: [side / 64 for side in b] if b else b),
    _all("images", "width", float),
    lambda content: content.update(images=[]),
    lambda content: content.update(annotations={}),
    lambda content: content.pop("categories") and None,
)


def changes() -> st.SearchStrategy[Callable[[Content], None]]:
    """One thing that is odd."""
    part = st.sampled_from(sorted(FIELDS))
    number = st.integers(0, 4)
    field = part.flatmap(
        lambda name: st.builds(
            _set, st.just(name), number, st.sampled_from(FIELDS[name]), st.sampled_from(ODD)
        )
    )
    return st.one_of(
        field,
        field,
        field,
        st.sampled_from(_WHOLE),
        st.builds(_repeat, part, number),
        st.builds(_drop, part, number),
        st.builds(_replace, part, number, st.sampled_from([None, 3, "x", [], {}])),
    )


some_changes = st.lists(changes(), min_size=1, max_size=3)

_USABLE: tuple[tuple[str, str, tuple[Any, ...]], ...] = (  # what is used, or left out with a count
    ("images", "width", (64.0,)),
    ("images", "file_name", ("sub\\00.png", "sub/00.png")),
    ("annotations", "id", (DELETED, None, "a", 1, 2**63)),
    ("annotations", "bbox", ([-9, -9, 20, 20], [30, 20, 90, 90], [500, 500, 5, 5], [2, 3, 0, 0],
                             [5, 5, 1e-9, 1e-9], [0.1, 0.1, 9.2, 9.2], [3.0, 4, 8, 8])),
    ("annotations", "area", (0, 0.0, 1, 0.5, 80.25, 3.0)),
    ("annotations", "iscrowd", (True, False, 1, 0, DELETED)),
    ("annotations", "ignore", (0, 1, True, False)),
    ("annotations", "segmentation", (
        DELETED, None, [], {}, [[]], [[1, 2, 3]], [[1, 1, 1, 1, 1, 1]], [[2, 3, 9, 3, 9, 8]],
        [[-4, 3, 22, 3, 50, 18]], [[1, 2, 3, 4, 5, 9], [5, 5, 7, 5, 7, 9]],
    )),
    ("categories", "name", (7, 0.5, "ü", " two words ")),
)  # fmt: skip


def usable_changes() -> st.SearchStrategy[Changes]:
    """One to four things that are odd and that most readers of the field can use."""
    fields = st.sampled_from(_USABLE).flatmap(
        lambda each: st.builds(
            _set, st.just(each[0]), st.integers(0, 4), st.just(each[1]), st.sampled_from(each[2])
        )
    )
    whole = st.sampled_from(_WHOLE[: 2 * len(_NEW_IDS)])
    entries = st.builds(_drop, st.just("annotations"), st.integers(0, 4))
    return st.lists(st.one_of(fields, fields, fields, whole, entries), min_size=1, max_size=4)


def write_pictures(root: Path) -> None:
    """The images of both splits."""
    (root / "images" / "sub").mkdir(parents=True)
    (root / "annotations").mkdir()
    rng = np.random.default_rng(0)
    for split in (0, 1):
        for i, (h, w) in enumerate(_SIZES):
            pixels = rng.integers(0, 255, (h, w, 3), np.uint8)
            for folder in ("images", "images/sub"):
                cv2.imwrite(str(root / folder / f"{split}{i}.png"), pixels)


def write(root: Path, mutated: Changes, *, both: bool) -> None:
    """Annotation files; the training is mutated, or both splits are."""
    for split, name in enumerate(("train", "val")):
        content = good(split)
        for change in mutated if both or name == "train" else []:
            with contextlib.suppress(
                LookupError, TypeError, ValueError, AttributeError, OverflowError
            ):
                change(content)  # one may leave nothing that the next could change
        (root / "annotations" / f"{name}.json").write_text(json.dumps(content))
