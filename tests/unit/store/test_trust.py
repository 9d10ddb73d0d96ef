"""A run folder is data: what its manifest names is executed only if asked for."""

import json
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.trust import check_names_no_code
from fpnprobe.study.request import request


@pytest.mark.parametrize(
    "config",
    [
        {"imports": ["evilmod"]},
        {"imports": "evilmod"},
        {"detector": {"config": "run/cells/dc5/seed-0/evil.py"}},
        {"detector": {"config": "/tmp/evil.py"}},
        {"detector": {"config": "mmdet::../../evil"}},
        {"detector": {"config": "a/../evil"}},
        {"detector": {"config": ["evil.py"]}},
        {"detector": {}, "variants": [{"detector": {"config": "./evil.py"}}]},
    ],
    ids=str,
)
def test_code_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="--trust"):
        check_names_no_code(config, source=tmp_path / "manifest.json")


def test_a_file_with_a_shipped_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken before the config that mmdet ships."""
    config = {"detector": {"config": "fcos/fcos_r50"}}
    monkeypatch.chdir(tmp_path)
    check_names_no_code(config, source="x")
    (tmp_path / "fcos").mkdir()
    (tmp_path / "fcos/fcos_r50").write_text("raise SystemExit")
    with pytest.raises(FpnProbeError, match="the config file"):
        check_names_no_code(config, source="x")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"imports": [], "detector": {"framework": "retinanet"}, "variants": [{"detector": {}}]},
        {"detector": {"config": "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco"}},
        {"detector": {"config": "retinanet_r50_fpn_1x_coco"}},
        {"detector": None, "variants": 3},
    ],
    ids=str,
)
def test_names_are_not_code(config: dict[str, Any]) -> None:
    check_names_no_code(config, source="x")


def test_a_manifest_is_repeated_only_with_trust(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    module = tmp_path / "evil.py"
    module.write_text(f"open({str(mark)!r}, 'w')")
    config = {
        "name": "q", "question": "?", "detector": {"config": str(module)}, "variants": ["FPN"],
        "data": {"scenes": {"train": 1, "val": 1}}, "schedule": {"iterations": 1},
    }  # fmt: skip
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({"config": config, "data": {}}))
    with pytest.raises(FpnProbeError, match="run folder is data"):
        request(None, manifest=file)
    assert request(None, manifest=file, trust=True).study.name == "q"
    assert not mark.exists()
