"""Inputs that people really have: each folder of `tests/cases` does what its `expected` says.

The law: what the check accepts every later step accepts, and what cannot be used is refused there,
in one line that names file, entry, value and fix, exit code 2. `tests/mm/studies/test_cases.py`
takes the accepted ones to the end.
"""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.cli import main

CASES = Path(__file__).parents[2] / "cases"

# case -> exit code and what stderr says; "" is silence
OUTCOMES: dict[str, tuple[int, str]] = {
    "00-control": (0, ""),
    "01-coco2017-degenerate": (0, r"1 of 5 annotations have no extent .*\[4\], bbox .* area 0"),
    "02-no-area-no-iscrowd": (2, r"train.json: 4 of 4 annotations have no 'area' .*data.area=box"),
    "03-string-image-ids": (0, ""),
    "04-bom": (0, ""),
    "06-iscrowd-string-zero": (2, r"iscrowd that is neither 0 nor 1 \(first: .* iscrowd '0'\)"),
    "07-float-image-size": (0, ""),
    "08-backslash-subfolder": (0, ""),
    "09-unicode-space-names": (0, ""),
    "12-categories-from-0-with-gap-no-super": (0, ""),
    "14-string-bbox": (2, r"bbox \['2', '3', '10', '8'\]\); expected four numbers"),
    "15-negative-and-outside": (0, r"lie outside of their image .*\n.* boxes stick out .* clipped"),
    "17-nan": (2, r"2 of 4 annotations have an area .* not finite \(first: annotation 1, area nan"),
    "18-keypoints-only": (2, r"no box \(first: annotation 1\); this is a file of keypoints"),
    "19-panoptic": (2, "panoptic format"),
    "20-dup-annotation-ids": (0, "3 of 4 annotations repeat the id of another one"),
    "21-swapped-size": (2, "0001.png is 64 x 48 px, its annotation says 48 x 64"),
    "22-no-annotations-val": (2, "val.json has no object"),
    "25-xyxy-gt": (0, r"2 of 4 boxes stick out of their image, and all look like x1, y1, x2, y2"),
    "26-id-types-mixed": (2, r"image_id '1'\); here it is text and the image's own id is a number"),
    "30-official-coco-layout": (0, ""),
    "31-roboflow-layout": (0, ""),
    "40-exif6-json-raw-size": (2, r"0001.jpg is 48 x 64 px, .* 64 x 48: its EXIF tag"),
    "41-exif6-json-turned-size": (0, "2 of 2 images are turned by their EXIF tag, as their boxes"),
    "43-gray-jpg": (0, ""),
    "44-rgba-png": (0, ""),
    "46-cmyk-jpg": (0, ""),
    "47-truncated-jpg": (2, r"0001.jpg cannot be read as an image \(it is cut off\)"),
    "48-truncated-jpg-with-eoi": (2, r"0001.jpg cannot be read as an image \(it is cut off\)"),
    "49-webp": (0, ""),
    "50-tiff-16bit": (0, "2 of 2 images have 16 bits a channel and are read as 8"),
    "51-gif": (0, ""),
    "52-gif-named-jpg": (0, ""),
    "53-zero-byte": (2, "0001.jpg cannot be read as an image"),
    "54-avif": (0, ""),
    "55-palette-png-1bit": (0, ""),
    "57-html-named-jpg": (2, "0001.jpg cannot be read as an image"),
    "58-jp2": (0, ""),
    "60-dets-control": (0, ""),
    "61-dets-unknown-image": (2, r"1 of 4 detections point to no image \(first: entry 0, .* 999"),
    "63-dets-xyxy": (0, "2 of 4 boxes stick out of their image: they look like x1, y1, x2, y2"),
    "64-dets-empty": (0, ""),
    "65-dets-category-from-0": (2, r"point to no category \(first: entry 1, category_id 0\)"),
    "66-dets-normalised": (0, "all boxes lie within 1 px: they look like shares"),
    "68-dets-wrapped-dict": (2, "holds a dict, expected a list .* take its list 'annotations'"),
    "69-dets-image-id-string": (2, r"image_id '0001'\); here it is text"),
    "70-segm-rle-control": (0, ""),
    "72-segm-gt-empty-list": (0, "1 of 4 objects have no mask and count neither way"),
    "73-segm-gt-flat-polygon": (2, "its polygon is a flat list"),
    "74-segm-no-image-size": (2, "no height and width, which polygons need"),
    "75-gt-no-area": (2, r"gt.json: 4 of 4 annotations have no 'area' .*--area box"),
    "77-gt-string-ids": (0, ""),
    "78-gt-ids-over-2-53": (0, ""),
    "80-dets-nan-score": (2, r"entry 0, score nan"),
    "81-dets-negative-width": (2, r"entry 0 has the bbox \[2.0, 3.0, -3.0, 8.0\]"),
    "82-dets-jsonl": (2, "it holds more than one document"),
    "83-dets-ragged": (2, r"entry 0, bbox \[1, 2, 3\]"),
    "85-dets-bom": (0, ""),
    "86-gt-null-category": (2, r"category_id None"),
    "87-dets-bool-score": (2, "entry 0, score True"),
    "90-masks-coco-crowd-rle": (0, ""),
    "92-masks-empty-list": (0, ""),
}
AP = {
    "60-dets-control": 1.0,
    "64-dets-empty": 0.0,
    "70-segm-rle-control": 1.0,
    "72-segm-gt-empty-list": 1.0,
    "77-gt-string-ids": 1.0,
    "78-gt-ids-over-2-53": 1.0,
    "85-dets-bom": 1.0,
}


def command(case: str) -> list[str]:
    """The first command of a case that checks or evaluates."""
    for line in (CASES / case / "cmd").read_text().splitlines():
        words = shlex.split(line.split(";")[0].replace("$CASE", str(CASES / case)))
        if words[:3] == ["fpnprobe", "data", "check"] or words[:2] == ["fpnprobe", "evaluate"]:
            return words[1:]
    return ["data", "check", str(CASES / case / "coco")]


def run(words: list[str], capsys: Any, monkeypatch: Any) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["fpnprobe", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main.entry()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_every_case_has_an_outcome() -> None:
    elsewhere = {"96-cjk-pdf"}  # of no data folder: tests/unit/report/test_fonts.py
    assert {path.parent.name for path in CASES.glob("*/expected")} == set(OUTCOMES) | elsewhere


@pytest.mark.parametrize("case", OUTCOMES)
def test_what_people_have(case: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, says = OUTCOMES[case]
    words = command(case)
    found, out, err = run(words, capsys, monkeypatch)
    lines = err.strip().splitlines()
    assert found == code, err
    assert re.search(says, err.replace(str(CASES), "")) if says else not lines, err
    if code:
        assert len(lines) == 1
        assert lines[0].startswith(f"error: {CASES}") or "the annotations" in lines[0]
        assert not out
    if words[0] == "evaluate" and not code:
        values = [
            json.loads(run([*words, "--json", "--engine", name], capsys, monkeypatch)[1])
            for name in ("hotcoco", "pycocotools")
        ]
        metrics = [{k: v for k, v in each.items() if k != "engine"} for each in values]
        assert metrics[0] == pytest.approx(metrics[1], abs=1e-12)
        assert values[0]["AP"] == pytest.approx(AP.get(case, values[0]["AP"]), abs=1e-9)
