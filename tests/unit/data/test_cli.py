"""`fpnprobe data`: what it prints, and that bad input is an error of ours."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fpnprobe.cli import data
from fpnprobe.data.image_files import images
from fpnprobe.errors import FpnProbeError


def run(*arguments: str | Path) -> tuple[str, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    data.add(app)
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def run_json(*arguments: str | Path) -> Any:
    return json.loads(run(*arguments, "--json")[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "scenes"
    run("make", target, "--train", "6", "--val", "3", "--size", "64")
    return target


def test_make(tmp_path: Path) -> None:
    made = run_json("make", tmp_path / "new", "--train", "2", "--val", "1", "--size", "64")
    assert made["root"] == str(tmp_path / "new")
    assert made["objects"]["train"] > 0


def test_check(folder: Path) -> None:
    splits = run_json("check", folder)["splits"]
    assert [(split["split"], split["images"]) for split in splits] == [("train", 6), ("val", 3)]
    lines = run("check", folder, "--split", "val")[0].splitlines()
    assert [line for line in lines if line.startswith("images")] == ["images       3"]


def test_check_warns_about_clipped_boxes_on_stderr(folder: Path) -> None:
    file = folder / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= {"bbox": [-3, 1, 20, 20], "area": 400}
    file.write_text(json.dumps(content))
    out, err = run("check", folder, "--json")
    assert err.startswith("warning: train: 1 of ")
    assert json.loads(out)["splits"][0]["clipped"] == 1


def test_check_refuses(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="no data folder"):
        run("check", tmp_path / "nowhere")


def test_subset(folder: Path, tmp_path: Path) -> None:
    cut = run_json(
        "subset", folder, tmp_path / "cut", "--images", "2", "--val-images", "1", "--classes", "3"
    )
    assert cut["train"]["images"] == 2
    assert cut["val"]["images"] == 1
    assert len(cut["classes"]) == 3


def test_area_of_boxes(folder: Path, tmp_path: Path) -> None:
    """Data without `area`, as VOC in COCO's format: each verb of data takes `--area box`."""
    for name in ("train", "val"):
        file = folder / "annotations" / f"{name}.json"
        content = json.loads(file.read_text())
        for entry in content["annotations"]:
            del entry["area"]
        file.write_text(json.dumps(content))
    with pytest.raises(FpnProbeError, match=r"have no 'area' .*--area box"):
        run("check", folder)
    with pytest.raises(FpnProbeError, match=r"have no 'area' .*--area box"):
        run("subset", folder, tmp_path / "none")
    with pytest.raises(FpnProbeError, match="area='mask': expected 'box'"):
        run("check", folder, "--area", "mask")
    assert run_json("check", folder, "--area", "box")["splits"][0]["images"] == 6
    run("subset", folder, tmp_path / "cut", "--images", "2", "--area", "box")
    assert run_json("check", tmp_path / "cut")["splits"][0]["images"] == 2


def test_a_large_set_is_decoded_where_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_json("check", folder)["splits"][0]["decoded"]
    monkeypatch.setattr(images, "_SMALL", (0, 0))
    assert not run_json("check", folder)["splits"][0]["decoded"]
    assert run_json("check", folder, "--decode")["splits"][0]["decoded"]
