"""What `fpnprobe probe` is asked for is checked by the words that the probe takes."""

from pathlib import Path
from typing import get_args

import pytest

from fpnprobe.config.offline_request import WORDS, check_offline_request
from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.probe import Mode, Terms

CONFIG = "faster-rcnn_r50_fpn_1x_coco"


def test_the_words_are_those_of_the_probe() -> None:
    assert {"mode": get_args(Mode), "terms": get_args(Terms)} == WORDS


def test_a_trained_cell_has_its_own_images(tmp_path: Path) -> None:
    options = {"data": None, "mode": "full", "terms": "none", "bounds": "32,96"}
    (tmp_path / "manifest.json").write_text("{}")
    check_offline_request(str(tmp_path), None, **options)  # type: ignore[arg-type]
    with pytest.raises(FpnProbeError, match="give --data"):
        check_offline_request(CONFIG, None, **options)  # type: ignore[arg-type]
    with pytest.raises(FpnProbeError, match="there is no file"):
        check_offline_request(str(tmp_path), tmp_path / "none.pth", **options)  # type: ignore[arg-type]
