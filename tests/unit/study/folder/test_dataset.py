"""The data of a study made ready before its cells start."""

import json
from pathlib import Path

import pytest

from fpnprobe.config import loading
from fpnprobe.data.image_files import pixels
from fpnprobe.study.folder import dataset, study_folder
from tests.mm.tiny import CONTENT


def test_images_are_decoded_once_for_all_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    study = loading.validate(CONTENT)
    found = dataset.prepare(study, out=tmp_path / "out")
    dataset.decode(found, study)
    kept = sorted((tmp_path / "cache" / "pixels").iterdir())
    assert len(kept) == 2
    result = study_folder.of(study, source=found, out=tmp_path / "out")

    def again(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(pixels, "_fill_pixels", again)
    dataset.decode(result.source, result.study)
    assert sorted((tmp_path / "cache" / "pixels").iterdir()) == kept


def test_classes_have_the_ids_of_the_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Detections have these ids: of some classes of a file they are not 1, 2, 3."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    limits = {"classes": ["hourglass", "square"]}
    study = loading.validate({**CONTENT, "data": {**CONTENT["data"], "limits": limits}})
    found = dataset.prepare(study, out=tmp_path / "out")
    categories = json.loads(Path(found.val).read_text())["categories"]
    id_of = {entry["name"]: entry["id"] for entry in categories}
    assert found.category_ids == tuple(id_of[name] for name in found.classes)
    assert sorted(found.category_ids) == [2, 5]
