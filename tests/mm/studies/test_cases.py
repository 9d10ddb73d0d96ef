"""What the check accepts every later step accepts: the accepted cases, taken to the end."""

from pathlib import Path
from typing import Any

import pytest

from tests.mm.studies.law import take_to_the_end
from tests.unit.data.test_cases import CASES, OUTCOMES

ACCEPTED = [
    case for case, (code, _) in OUTCOMES.items() if code == 0 and (CASES / case / "coco").is_dir()
]
SETTINGS: dict[str, dict[str, Any]] = {
    "02-no-area-no-iscrowd": {"area": "box"},
    "30-official-coco-layout": {"train": "instances_train2017", "val": "instances_val2017"},
}
FAST = {"01-coco2017-degenerate", "03-string-image-ids", "31-roboflow-layout"}
REPORTED = {  # a report takes twice as long as all before it, and sees little of the data
    "02-no-area-no-iscrowd", "09-unicode-space-names", "12-categories-from-0-with-gap-no-super",
    "30-official-coco-layout", "50-tiff-16bit",
}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in FAST else pytest.mark.slow)
        for case in [*ACCEPTED, "02-no-area-no-iscrowd"]
    ],
)
def test_what_is_accepted_reaches_the_report(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    take_to_the_end(
        CASES / case / "coco",
        tmp_path / "out",
        report=case in REPORTED,
        **SETTINGS.get(case, {}),
    )
