"""The whole report from a study folder, also where parts are missing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.report import build


def test_everything_is_written(make_study: Callable[..., Path]) -> None:
    folder = make_study()
    result = build(folder)
    assert result["note"] == ""
    assert Path(result["html"]).read_text().startswith("<!doctype html>")
    assert Path(result["pdf"]).read_bytes().startswith(b"%PDF")
    assert {path.stem for path in folder.glob("figures/*.svg")} >= {"figure-3", "routes"}
    assert {path.stem for path in folder.glob("tables/*.csv")} >= {"residuals", "manifest"}


def test_not_a_study(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="not a study folder"):
        build(tmp_path)


def test_report_needs_no_torch() -> None:
    code = "import fpnprobe.report, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
