"""The folder of a training with the hook is a run: report, open, compare and status take it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from typer.testing import CliRunner

import fpnprobe
from fpnprobe.cli.main import app, register
from fpnprobe.data import scenes
from fpnprobe.evaluation import evaluate
from fpnprobe.evaluation.run_comparison import compare_runs
from fpnprobe.report.build import build
from fpnprobe.store.run_file import read_run_file
from tests.mm import small

TEST_PIPELINE = [
    *small.PIPELINE[:2],
    {"type": "Resize", "scale": (small.SIZE, small.SIZE)},
    {
        "type": "PackDetInputs",
        "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    },
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"))


def config_of(root: Path, folder: Path, *, seed: int, iterations: int = 6) -> Config:
    """What a user's config file says, with a validation at the end."""

    def loader(split: str, sampler: str) -> dict[str, Any]:
        return {
            "dataset": {
                "type": "CocoDataset",
                "ann_file": str(root / "annotations" / f"{split}.json"),
                "data_prefix": {"img": str(root / "images")},
                "metainfo": {"classes": scenes.CLASSES},
                "test_mode": split == "val",
                "pipeline": small.PIPELINE if split == "train" else TEST_PIPELINE,
            },
            "batch_size": 2,
            "num_workers": 0,
            "sampler": {"type": sampler, "shuffle": split == "train"},
            "collate_fn": {"type": "pseudo_collate"},
        }

    model = small.model_config("retinanet")
    return Config(
        {
            "model": model,
            "work_dir": str(folder),
            "train_dataloader": loader("train", "InfiniteSampler"),
            "val_dataloader": loader("val", "DefaultSampler"),
            "val_evaluator": {
                "type": "CocoMetric",
                "ann_file": str(root / "annotations" / "val.json"),
                "metric": "bbox",
            },
            "train_cfg": {"by_epoch": False, "max_iters": iterations, "val_interval": iterations},
            "val_cfg": {},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": small.SGD},
            "custom_hooks": [
                {
                    "type": "GradientProbeHook",
                    "interval": 1,
                    "mode": "full",
                    "buckets": [(b.name, b.low, b.high) for b in small.BUCKETS],
                }
            ],
            "default_scope": "mmdet",
            "log_level": "ERROR",
            "randomness": {"seed": seed},
            "experiment_name": f"{folder.name}-{seed}",
        }
    )


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trainings in one tree."""
    tree = tmp_path_factory.mktemp("work_dirs")
    for name, seed in (("one", 0), ("two", 1)):
        Runner.from_cfg(config_of(root, tree / name, seed=seed)).train()
    return tree


def test_the_run_file_tells_the_training(runs: Path) -> None:
    told = read_run_file(runs / "one")
    assert (told["state"], told["iteration"], told["iterations"]) == ("done", 6, 6)
    assert (told["variant"], told["seed"]) == ("one", 0)
    assert told["stages"] == {name: {"frozen": False} for name in ("C2", "C3", "C4", "C5")}
    assert told["probe"]["samples"] == 6
    assert told["probe"]["arithmetic"] == "float32"
    assert told["probe"]["residuals"]["gradient"] < 1e-5
    assert told["detections"] == {"bbox": "detections.json.gz"}
    assert told["images"] == [8, 2]
    assert told["category_ids"] == [1, 2, 3, 4, 5]


def test_open_and_status(runs: Path) -> None:
    run = fpnprobe.open(runs / "one")
    assert [cell.variant for cell in run.cells] == ["one"]
    assert len(run.ledger.frame)
    assert "AP_L" in set(run.evaluation.metric)
    assert [cell.variant for cell in fpnprobe.open(runs).cells] == ["one", "two"]
    register()
    result = CliRunner().invoke(app, ["status", str(runs), "--json"])
    states = {
        c["variant"]: (c["state"], c["iteration"]) for c in json.loads(result.stdout)["cells"]
    }
    assert states == {"one": ("done", 6), "two": ("done", 6)}


def test_a_report_has_what_was_measured_and_is_made_again_to_the_byte(
    runs: Path, tmp_path: Path
) -> None:
    result = build(runs / "one", out=tmp_path / "r")
    page = Path(result["html"]).read_text()
    for name in ("figure-2", "routes", "all-object-index", "residuals", "rules"):
        assert f'id="{name}' in page or f"{name}-title" in page, name
    assert "Diagnosis" in page
    assert "Not measured: no cell" not in page
    assert "printed differences" not in page
    content = json.loads(Path(result["rules"]).read_text())
    assert {rule["rule"] for rule in content["rules"]} >= {"direct-share", "index", "soundness"}
    assert result["diagnosis"] == content["diagnosis"]
    before = {p.name: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    build(runs / "one", out=tmp_path / "r")
    assert {p.name: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before


def test_two_runs_have_paired_intervals(runs: Path, tmp_path: Path) -> None:
    register()
    folders = [str(runs / "one"), str(runs / "two")]
    result = CliRunner().invoke(
        app, ["report", *folders, "--names", "FPN,PAFPN", "--out", str(tmp_path), "--json"]
    )
    assert result.exit_code == 0, result.output
    table = (tmp_path / "tables" / "differences.csv").read_text()
    assert table.splitlines()[0].startswith("variant,baseline,metric,difference,low,high")
    assert "PAFPN" in table
    compared = CliRunner().invoke(app, ["compare", *folders, "--json", "--resamples", "50"])
    assert {"a", "b", "difference", "low", "high"} == set(json.loads(compared.stdout)["AP"])


def test_found_rules_are_an_exit_code(runs: Path, tmp_path: Path) -> None:
    register()
    asked = ["report", str(runs / "one"), "--out", str(tmp_path), "--json"]
    plain = CliRunner().invoke(app, asked)
    assert plain.exit_code == 0
    strict = CliRunner().invoke(app, [*asked, "--fail-on-rules"])
    assert strict.exit_code == int(bool(json.loads(plain.stdout)["found"]))


def test_an_interrupted_run_opens_and_reports(root: Path, tmp_path: Path) -> None:
    config = config_of(root, tmp_path / "cut", seed=2)
    runner = Runner.from_cfg(config)
    step = runner.model.train_step

    def stop(*args: Any, **kwargs: Any) -> Any:
        if runner.iter == 3:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    runner.model.train_step = stop
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    told = read_run_file(tmp_path / "cut")
    assert (told["state"], told["probe"]["samples"]) == ("interrupted", 3)
    assert sorted(set(fpnprobe.open(tmp_path / "cut").ledger.frame.iteration)) == [0, 1, 2]
    assert Path(build(tmp_path / "cut")["html"]).is_file()


def test_a_fresh_training_keeps_nothing_of_a_former_one(root: Path, tmp_path: Path) -> None:
    """Rows of AP at iterations that it does not reach would be taken for its own."""
    former = ("evaluation.parquet", "training.parquet", "detections.json.gz")
    folder = tmp_path / "again"
    folder.mkdir()
    pd.DataFrame({"iteration": [0], "metric": ["AP"]}).to_parquet(folder / former[0])
    for name in former[1:]:
        (folder / name).write_bytes(b"of a former training")
    # It neither validates nor keeps losses, so what it does not remove would stay.
    small.train(root, folder, hooks=[small.hook(folder, interval=1)], iterations=1)
    assert [name for name in former if (folder / name).exists()] == []


def test_attribute_and_probe_take_a_training(runs: Path, tmp_path: Path) -> None:
    register()
    found = CliRunner().invoke(
        app, ["attribute", str(runs / "one"), "--images", "1", "--steps", "4", "--json"]
    )
    assert found.exit_code == 0, found.output
    shares = json.loads(found.stdout)["shares"]
    assert {row["variant"] for row in shares} == {"one"}
    probed = CliRunner().invoke(
        app,
        ["probe", str(runs / "one"), "--images", "2", "--mode", "routes", "--out", str(tmp_path)],
    )
    assert probed.exit_code == 0, probed.output


def test_areas_of_boxes_are_those_of_ap_too(root: Path, tmp_path: Path) -> None:
    """With `area="box"` the run file says so, and objects of AP_S are small by their box."""
    file = tmp_path / "val.json"
    content = json.loads((root / "annotations" / "val.json").read_text())
    for entry in content["annotations"]:
        entry["area"] = 1.0
    file.write_text(json.dumps(content))
    config = config_of(root, tmp_path / "run", seed=0, iterations=1)
    config.custom_hooks[0]["area"] = "box"
    config.val_dataloader.dataset.ann_file = config.val_evaluator.ann_file = str(file)
    Runner.from_cfg(config).train()
    told = read_run_file(tmp_path / "run")
    assert told["area"] == "box"
    judged = pd.read_parquet(tmp_path / "run" / "evaluation.parquet").set_index("metric")["value"]
    sides = [(b.low, b.high) for b in small.BUCKETS]
    areas = [entry["bbox"][2] * entry["bbox"][3] for entry in content["annotations"]]
    for letter, (low, high) in zip("SML", sides, strict=True):
        assert (judged[f"AP_{letter}"] >= 0) == any(low <= area < high for area in areas)


def test_objects_of_images_that_were_not_validated_are_not_missed(
    root: Path, tmp_path: Path
) -> None:
    """A dataset with `indices` predicts on some images alone."""
    config = config_of(root, tmp_path / "some", seed=0, iterations=2)
    config.val_dataloader.dataset.indices = 1
    config.model.test_cfg.score_thr = 0.0
    Runner.from_cfg(config).train()
    run = read_run_file(tmp_path / "some")
    assert run is not None and run["images"][1] == 1
    shutil.copytree(tmp_path / "some", tmp_path / "other")
    told = json.loads((tmp_path / "other" / "fpnprobe.json").read_text())
    told["annotations"] = str(tmp_path / "other" / "validated.json")
    (tmp_path / "other" / "fpnprobe.json").write_text(json.dumps(told))
    assert compare_runs(tmp_path / "some", tmp_path / "other", resamples=10).images == 1
    part = json.loads(Path(run["annotations"]).read_text())
    whole = json.loads((root / "annotations" / "val.json").read_text())
    assert part["images"] == whole["images"][:1] and part["categories"] == whole["categories"]
    first = whole["images"][0]["id"]
    assert part["annotations"] == [a for a in whole["annotations"] if a["image_id"] == first]
    detections = tmp_path / "some" / "detections.json.gz"
    expected = evaluate(part, detections, buckets=small.BUCKETS).metrics
    stored = pd.read_parquet(tmp_path / "some" / "evaluation.parquet").set_index("metric")["value"]
    assert stored["AP"] == pytest.approx(expected["AP"], nan_ok=True)
