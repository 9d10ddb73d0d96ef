"""COCO's size: `data check` within 30 s and 1.5 GB, `plan`, and a training under 1 GB a process."""

from pathlib import Path

import pytest

from tests.mm.studies.coco_size import main


@pytest.mark.slow
def test_a_folder_of_cocos_size_is_checked_planned_and_trained_on(tmp_path: Path) -> None:
    found = main(tmp_path)
    assert [cost.code for cost in found.values()] == [0, 0, 0]
    assert found["data check"].cpu < 30  # of CPU: a loaded machine takes longer
    assert found["data check"].memory < 1500
    log = (tmp_path / "0.log").read_text()
    assert "2 of 860001 annotations have no extent" in log
    assert "118287" in log
