"""Study files: bases, presets, overrides."""

from pathlib import Path

import pytest

from fpnprobe.config import loading, overrides
from fpnprobe.errors import FpnProbeError
from fpnprobe.study import load
from tests.unit.study.conftest import content

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("folder", sorted((ROOT / "studies").glob("*/study.py")), ids=str)
def test_every_study_of_the_repository_loads(folder: Path) -> None:
    study = load(folder)
    shared = {"table4": "table3-mask-rcnn"}  # Table 4 judges the cells of Table 3 by their masks
    assert study.name == shared.get(folder.parent.name, folder.parent.name)
    assert (folder.parent / "README.md").is_file()
    namespace = loading._run_study_file(folder)
    for preset in namespace.get("presets", {}):
        load(folder, [f"preset={preset}"])


def test_base_is_merged_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "\n".join(f"{key} = {value!r}" for key, value in content().items())
    )
    (tmp_path / "study.py").write_text(
        "_base_ = 'base.py'\nimport os\nname = 'derived'\nschedule = dict(batch=8)\n"
        "def helper(): ...\n"
    )
    study = load(tmp_path)
    assert (study.name, study.schedule.iterations, study.schedule.batch) == ("derived", 10, 8)


@pytest.mark.parametrize(
    ("given", "judged"),
    [
        ("bbox", ("bbox",)),
        ("segm", ("segm",)),
        ("bbox,segm", ("bbox", "segm")),
        ('["segm", "bbox"]', ("segm", "bbox")),
        ("('segm',)", ("segm",)),
    ],
)
def test_boxes_and_masks_are_judged(given: str, judged: tuple[str, ...]) -> None:
    changed = overrides.parse([f"evaluation.iou_type={given}"])
    study = loading.validate(overrides.apply(content(), changed))
    assert study.evaluation.iou_types == judged
    assert loading.validate(study.model_dump(mode="json")) == study


@pytest.mark.parametrize("given", ["keypoints", "bbox,bbox", "[]", "bbox,keypoints"])
def test_other_kinds_are_refused(given: str) -> None:
    changed = overrides.parse([f"evaluation.iou_type={given}"])
    with pytest.raises(FpnProbeError, match=r"evaluation\.iou_type"):
        loading.validate(overrides.apply(content(), changed))


def test_overrides_are_typed(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        "\n".join(f"{key} = {value!r}" for key, value in content().items())
    )
    changes = [
        "seeds=3", "variants=DC5,FPN-CFG2", "schedule.epochs=2", "schedule.amp=bf16",
        "detector.width=8", "data.limits.classes=2", "data.size=[32, 64]", "schedule.clip=None",
        "data.scenes.train=5",
    ]  # fmt: skip
    study = load(tmp_path, changes)
    assert study.seeds == (3,)
    assert [variant.name for variant in study.variants] == ["DC5", "FPN-CFG2"]
    assert (study.schedule.iterations, study.schedule.epochs) == (None, 2.0)
    assert study.schedule.amp == "bf16"
    assert study.detector["width"] == 8
    assert study.data.limits.classes == 2
    assert study.data.size == (32, 64)
    assert study.schedule.clip is None


def test_data_root_wins_over_scenes() -> None:
    given = {"data": {"scenes": {"train": 3}}}
    assert overrides.apply(given, {"data.root": "x"}) == {"data": {"root": "x"}}
    assert given == {"data": {"scenes": {"train": 3}}}


def test_linear_rule_and_what_does_not_change_the_rate() -> None:
    schedule = {"iterations": 1, "lr": 0.02, "batch": 4, "base_batch": 16, "accumulate": 2}
    assert loading.validate(content(schedule=schedule)).schedule.rate == pytest.approx(0.005)
    plain = {"iterations": 1, "lr": 0.02, "batch": 16, "accumulate": 4}
    assert loading.validate(content(schedule=plain)).schedule.rate == 0.02


def test_an_own_variant_needs_an_import() -> None:
    with pytest.raises(FpnProbeError, match="unknown variant"):
        loading.validate(content(variants=["Mine"]))
    assert loading.validate(content(variants=["Mine"], imports=["json"])).imports == ("json",)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("seeds=a", r"^--set: seeds\.0: expected a valid integer.* \(given 'a'\)"),
        ("schedule.batch=0", r"^--set: schedule\.batch: expected greater than .* \(given 0\)"),
        ("data.size=abc", r"^--set: data\.size: expected a valid integer"),
        ("variants=FPN,Foo", r"study\.py with --set variants: unknown variant 'Foo'"),
    ],
)
def test_a_wrong_value_is_told_as_that_of_the_option(given: str, told: str) -> None:
    with pytest.raises(FpnProbeError, match=told):
        load("quickstart", [given])


def test_a_wrong_value_of_the_file_is_told_as_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text('_base_ = "quickstart"\nseeds = ["a"]\n')
    with pytest.raises(FpnProbeError, match=r"^/.*study\.py: seeds\.0: expected a valid integer"):
        load(tmp_path, ["schedule.batch=2"])
