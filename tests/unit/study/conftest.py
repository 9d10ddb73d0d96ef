from pathlib import Path

import pytest

from fpnprobe.config import loading
from fpnprobe.study.folder import study_folder
from fpnprobe.study.folder.source import Source
from fpnprobe.study.folder.study_folder import Output

SOURCE = Source(
    root="/data",
    train="/data/annotations/train.json",
    val="/data/annotations/val.json",
    classes=("ring",),
    root_hash="abc",
    images=(12, 6),
    objects=(30, 9),
)


def content(**changes: object) -> dict[str, object]:
    return {
        "name": "unit",
        "question": "?",
        "detector": {},
        "variants": ["DC5", "FPN"],
        "seeds": [0, 1],
        "data": {"root": "data"},
        "schedule": {"iterations": 10},
        **changes,
    }


@pytest.fixture
def result(tmp_path: Path) -> Output:
    found = study_folder.of(loading.validate(content()), source=SOURCE, out=tmp_path / "out")
    found.write()
    return found
