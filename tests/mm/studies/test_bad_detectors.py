"""A detector that cannot be made is told before anything is written."""

from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.study import commands, request
from tests.mm.tiny import study_file


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("detector__framework", "foo", "variant FPN: detector.framework='foo'"),
        ("detector__width", -3, "width"),
        ("detector__frozn", 1, "frozn"),
        ("detector__backbone", "foo", "foo"),
        ("variants", [{"name": "FPN-CFG1", "options": {"nope": 1}}], "variant FPN-CFG1"),
        ("variants", [{"name": "FPN", "options": {"nope": 1}}], "variant FPN"),
        ("variants", [{"name": "FPN", "detector": {"width": "wide"}}], "variant FPN"),
        ("imports", ["no.such.module"], "variant FPN"),
    ],
)
def test_it_is_one_line_and_nothing_is_written(
    key: str, value: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    file, out = study_file(tmp_path / "study", **{key: value}), tmp_path / "out"
    asked = request.request(file, out=out)
    with pytest.raises(FpnProbeError, match=message) as told:
        commands.make_plan(asked)
    assert "\n" not in str(told.value)
    with pytest.raises(FpnProbeError, match=message):
        commands.run_all(asked, commands.Running(), finish=lambda _: {})
    assert not (out / "study.json").exists()
