"""Whole runs: cells opened again, surveys, the command line, `fpnprobe.open`, features."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import fpnprobe
from fpnprobe.cli import main
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect import feature_maps
from fpnprobe.mm.inspect.attribution.explain import targets_of
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.study import attribute_run
from fpnprobe.mm.inspect.attribution.survey import survey
from fpnprobe.mm.inspect.attribution.trust import trust
from fpnprobe.mm.inspect.trained_cell import TrainedCell
from fpnprobe.store.feature_maps import Features
from tests.mm import attributed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attributed.make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def fpn(run: Path) -> TrainedCell:
    return TrainedCell.open(run / "cells" / "fpn" / "seed-0")


def test_a_cell_is_opened_with_its_weights(fpn: TrainedCell) -> None:
    content = torch.load(fpn.stored.folder / "checkpoints" / "final.pt", weights_only=True)
    for name, value in fpn.detector.state_dict().items():
        assert torch.equal(value, content["state_dict"][name])
    assert not fpn.detector.training
    assert len(fpn.images) == len(fpn.ids) == 5


def test_objects_are_in_the_pixels_of_the_detector(fpn: TrainedCell) -> None:
    content = json.loads(fpn.stored.annotations.read_text())
    image = fpn.image(fpn.ids[2])
    told = [a for a in content["annotations"] if a["image_id"] == image.image_id]
    boxes = torch.tensor([a["bbox"] for a in told])
    boxes[:, 2:] += boxes[:, :2]
    torch.testing.assert_close(image.boxes, boxes, rtol=0, atol=1e-3)
    assert image.areas.tolist() == [a["area"] for a in told]
    assert image.pixels.shape[1] == 3
    assert image.pixels.abs().mean() < 5  # normalized


def test_a_survey_has_every_object_at_every_place(fpn: TrainedCell) -> None:
    frame = survey(fpn, images=2, methods=("activation_x_gradient", "grad_cam"))
    objects = sum(len(fpn.at(i).boxes) for i in range(2))
    assert len(frame) == 2 * objects * (4 + 5)
    sums = frame.groupby(["method", "place", "image_id", "object"])["share"].sum()
    assert sums.to_numpy() == pytest.approx(1)
    assert {*frame["bucket"]} <= {"small", "medium", "large"}
    pyramid = frame[frame["place"] == "pyramid"]
    top = pyramid.loc[pyramid.groupby(["method", "image_id", "object"])["share"].idxmax()]
    assert (top["level"] == top["assigned_level"]).all()


def test_a_survey_of_detections_and_of_buckets(fpn: TrainedCell) -> None:
    found = survey(fpn, images=1, methods=("activation_x_gradient",), kind="detection")
    assert {*found["kind"]} == {"detection"}
    assert {*found["bucket"]} <= {"small", "medium", "large", "background"}
    found = survey(fpn, images=1, methods=("grad_cam",), kind="bucket", places=("stages",))
    assert found["object"].eq(-1).all()
    assert {*found["place"]} == {"stages"}


def test_images_without_objects_are_passed_over(
    fpn: TrainedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of COCO's first images some have none: `--images 1` is the first one that has."""
    original = fpn.at

    def at(_cell: TrainedCell, position: int) -> DetectorImage:
        image = original(position)
        if position == 0:
            nothing = torch.zeros(0, dtype=torch.long)
            image = replace(image, boxes=image.boxes[:0], labels=nothing, areas=image.areas[:0])
        return image

    monkeypatch.setattr(TrainedCell, "at", at)
    frame = survey(fpn, images=1, methods=("activation_x_gradient",), places=("stages",))
    assert {*frame["image_id"]} == {original(1).image_id}


def test_more_images_than_there_are_is_all_of_them(fpn: TrainedCell) -> None:
    seen: list[int] = []
    survey(fpn, images=99, methods=("activation_x_gradient",), report=seen.append)
    assert seen == [1, 2, 3, 4, 5]
    with pytest.raises(FpnProbeError, match="images=0: expected at least 1"):
        survey(fpn, images=0)


def test_the_command_attributes_all_cells_and_writes_tables(run: Path) -> None:
    main.register()
    words = ["attribute", str(run), "--images", "2", "--method", "activation_x_gradient", "--json"]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["files"]) == 2
    assert told["skipped"] == []
    variants = {row["variant"] for row in told["shares"]}
    assert variants == {"DC5", "FPN"}
    frame = pd.read_parquet(run / "evidence" / "attribution.parquet")
    assert len(frame) == len(told["shares"])
    dc5 = frame[(frame["variant"] == "DC5") & (frame["level"] == "C5")]
    assert dc5["share"].to_numpy() == pytest.approx(1)
    stages = frame[frame["place"] == "stages"].groupby(["variant", "bucket"])["share"].sum()
    assert stages.to_numpy() == pytest.approx(1)
    assert all(row["agreement"] == 1 for row in told["agreement"])
    opened = fpnprobe.open(run)
    assert len(opened.attribution) == sum(len(pd.read_parquet(f)) for f in told["files"])


def test_a_cell_that_is_not_finished_is_skipped_and_named(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "cells" / "dc5" / "seed-0" / "checkpoints" / "final.pt").unlink()
    options: dict[str, Any] = {"images": 1, "methods": ("activation_x_gradient",)}
    found = attribute_run(copy, **options)
    assert [Path(cell).parent.name for cell, _ in found.skipped] == ["dc5"]
    assert "has no checkpoint" in found.skipped[0][1]
    (copy / "cells" / "fpn" / "seed-0" / "checkpoints" / "final.pt").unlink()
    with pytest.raises(FpnProbeError, match="DC5 seed 0 has no checkpoint"):
        attribute_run(copy, **options)


def test_only_the_variants_that_are_asked_for(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    found = attribute_run(
        copy, images=1, methods=("activation_x_gradient",), variants=["FPN"], seeds=[0]
    )
    assert [Path(file).parent.parent.name for file in found.files] == ["fpn"]
    table = pd.read_parquet(copy / "evidence" / "attribution.parquet")
    assert set(table["variant"]) == {"FPN"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "lime"], "unknown method 'lime'"),
        (["--at", "head"], "unknown place 'head': expected stages, pyramid"),
        (["--kind", "person"], "unknown kind 'person'"),
        (["--images", "0"], "images=0: expected at least 1"),
        (["--variants", "FPN,FNP"], "has no variant FNP: expected DC5, FPN"),
        (["--seeds", "0,7"], "has no seed 7: expected 0"),
        (["--seeds", "x"], "--seeds 'x': expected numbers"),
    ],
)
def test_bad_words_are_one_line(words: list[str], message: str, run: Path) -> None:
    main.register()
    done = CliRunner().invoke(main.app, ["attribute", str(run), *words])
    assert isinstance(done.exception, FpnProbeError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="is not a run"):
        attribute_run(tmp_path, images=1)
    with pytest.raises(FpnProbeError, match="is not a run"):
        fpnprobe.open(tmp_path)
    with pytest.raises(FpnProbeError, match="is not a cell of a study"):
        TrainedCell.open(tmp_path)


def test_open_attributes_one_detection_object_or_bucket(run: Path) -> None:
    opened = fpnprobe.open(run).select(variant="FPN")
    image = opened.trained().ids[1]
    options: dict[str, Any] = {"method": "activation_x_gradient", "at": "stages"}
    assert len(opened.attribute(image, **options).targets) == len(opened.trained().at(1).boxes)
    one = opened.attribute(image, object=0, **options)
    assert one.targets[0].index == 0
    assert "stages" in {*one.to_pandas()["place"]}
    assert "<table" in one._repr_html_()
    assert repr(one).startswith(f"Attribution(image {image}, 1 x object")
    assert opened.attribute(detection=0, **options).targets[0].kind == "detection"
    bucket = one.buckets[0]
    assert opened.attribute(image, bucket=bucket, **options).buckets == (bucket,)
    with pytest.raises(FpnProbeError, match="detection and object were given"):
        opened.attribute(image, detection=0, object=0)
    with pytest.raises(FpnProbeError, match="image 999 is not among the 5"):
        opened.attribute(999)
    with pytest.raises(FpnProbeError, match="has 2 cells, expected one"):
        fpnprobe.open(run).attribute()


def test_features_are_small_and_the_same_images_for_every_cell(run: Path, tmp_path: Path) -> None:
    chosen = []
    for variant in ("dc5", "fpn"):
        cell = TrainedCell.open(run / "cells" / variant / "seed-0")
        folder = cell.stored.folder / "features"
        chosen.append(feature_maps.save(cell.detector, cell.images, folder, buckets=cell.buckets))
        assert json.loads((folder / "index.json").read_text()) == chosen[-1]
        assert all(f.stat().st_size < 256 * 1024 for f in folder.iterdir())
    assert chosen[0] == chosen[1]
    opened = fpnprobe.open(run)
    assert opened.images == tuple(sorted(chosen[0]))
    found = opened.select(variant="FPN").features(chosen[0][0])
    assert list(found.maps) == ["C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5", "P6"]
    assert list(found.compactness) == ["P2", "P3", "P4", "P5"]
    assert all(value == value and value <= 1 for value in found.compactness.values())
    assert opened.select(variant="DC5").features(chosen[0][0]).compactness == {}
    with pytest.raises(FpnProbeError, match="2 cells have features of image"):
        opened.features(chosen[0][0])


def test_stored_maps_are_the_root_mean_square_of_the_channels(fpn: TrainedCell) -> None:
    image = fpn.at(0)
    found = feature_maps.extract(fpn.chain, image, thumbnail=fpn.images[0]["inputs"])
    stages = fpn.detector.backbone(image.pixels)
    expected = stages[1].detach()[0].square().mean(0).sqrt().numpy()
    np.testing.assert_allclose(found.maps["C3"], expected, rtol=1e-5)
    content = json.loads(fpn.stored.annotations.read_text())
    told = [a["bbox"] for a in content["annotations"] if a["image_id"] == image.image_id]
    np.testing.assert_allclose(found.boxes[:, :2], np.array(told)[:, :2], atol=1e-3)


def test_padding_is_cut_off_and_large_maps_are_pooled(fpn: TrainedCell) -> None:
    sample = fpn.images[0]
    wide = torch.zeros(3, 90, 600, dtype=torch.uint8)
    meta = sample["data_samples"]
    meta.set_metainfo({"img_shape": (90, 600), "ori_shape": (45, 300), "scale_factor": (2.0, 2.0)})
    image = DetectorImage.of(fpn.detector, {"inputs": wide, "data_samples": meta})
    assert image.pixels.shape[-2:] != (90, 600)
    found = feature_maps.extract(fpn.chain, image, thumbnail=wide)
    assert found.maps["C2"].shape == (9, 64)  # of 24 x 152 with the padding
    assert found.size == (300, 45)
    assert found.image.shape == (19, 128, 3)
    assert isinstance(found, Features)
    assert math.isfinite(float(found.maps["P6"].sum()))
    assert all(math.isfinite(value) for value in found.compactness.values())


def test_trust_judges_every_method(run: Path, fpn: TrainedCell) -> None:
    image = fpn.at(0)
    targets = targets_of(fpn.chain, image, buckets=fpn.buckets)[:2]
    methods = ("activation_x_gradient", "conductance")
    found = trust(fpn.chain, image, targets=targets, methods=methods, steps=4)
    assert found["method"].tolist() == [m for m in methods for _ in targets]
    assert found["deletion_gain"].notna().all()
    assert found["rank_correlation"].abs().max() <= 1
    assert found.loc[found["method"] == "conductance", "infidelity"].isna().all()
    folder = run / "cells" / "fpn" / "seed-0"
    told = attribute_run(folder, images=1, methods=("activation_x_gradient",), judged_images=1)
    assert told.trust["n_objects"].tolist() == [len(image.boxes)]
    assert told.trust["variant"].tolist() == ["FPN"]


def test_code_that_a_manifest_names_is_not_run(run: Path, tmp_path: Path) -> None:
    """A run folder is data, unless it is trusted."""
    mark, code = tmp_path / "executed", tmp_path / "evil.py"
    code.write_text(f"open({str(mark)!r}, 'w')")
    for change in ({"detector": {"config": str(code)}}, {"imports": ["evil"]}):
        folder = tmp_path / "copy/cells/fpn/seed-0"
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(run / "cells/fpn/seed-0", folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["config"] |= change
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(FpnProbeError, match="--trust"):
            TrainedCell.open(folder)
        assert not mark.exists()


def test_stopped_at_the_second_cell_the_study_has_the_first(run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copied / "evidence", ignore_errors=True)
    titles: list[str] = []

    def stop_at_the_second(title: str, _images: int) -> None:
        if titles and title != titles[0]:
            raise KeyboardInterrupt
        titles.append(title)

    with pytest.raises(KeyboardInterrupt):
        attribute_run(
            copied, images=1, methods=("activation_x_gradient",), report=stop_at_the_second
        )
    table = pd.read_parquet(copied / "evidence" / "attribution.parquet")
    assert [f"{variant} seed 0" for variant in table["variant"].unique()] == titles[:1]
