"""Samples, learning rate, precision, determinism and several processes."""

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from torch.nn import BatchNorm2d

from fpnprobe.bench import training as bench
from fpnprobe.config.schedule import Schedule
from fpnprobe.data.image_files import pixels
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.training.building import build_runner
from fpnprobe.mm.training.device import set_threads_and_device
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.images.positions import Positions
from fpnprobe.mm.training.optimizer import optim_wrapper, rate_over_time
from fpnprobe.study.runner import launchers, training
from fpnprobe.study.runner.local import run as run_cells
from tests.mm.studies.test_resume import final_weights, run
from tests.mm.studies.test_slurm import Silent
from tests.mm.tiny import study_file, tiny


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images of unequal sizes, with a box that sticks out, one outside, and a crowd."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    images = []
    for number, (height, width) in enumerate(((40, 60), (90, 30)), start=1):
        image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), image)
        images.append(
            {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
        )
    rows = [
        (1, 5, [10, 10, 20, 10], 150.5, 0),
        (1, 9, [50, 30, 20, 20], 400.0, 0),
        (1, 5, [70, 50, 5, 5], 25.0, 0),
        (1, 5, [0, 0, 30, 30], 900.0, 1),
        (2, 9, [3, 6, 9, 30], 270.0, 0),
    ]
    annotations = [
        {"id": n, "image_id": i, "category_id": c, "bbox": b, "area": a, "iscrowd": crowd}
        for n, (i, c, b, a, crowd) in enumerate(rows)
    ]
    categories = [{"id": 9, "name": "nine"}, {"id": 5, "name": "five"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "train.json").write_text(json.dumps(content))
    return tmp_path


def dataset(folder: Path, **changes: Any) -> CellImages:
    options = {"classes": ("nine", "five"), "size": None, "seed": None, **changes}
    return CellImages(folder, folder / "train.json", **options)


def test_boxes_areas_and_crowds(folder: Path) -> None:
    found = dataset(folder)[0]["data_samples"]
    assert found.gt_instances.bboxes.tolist() == [[10, 10, 30, 20], [50, 30, 60, 40]]
    assert found.gt_instances.labels.tolist() == [1, 0]
    assert found.gt_instances.areas.tolist() == [150.5, 400.0]
    assert found.ignored_instances.bboxes.tolist() == [[0, 0, 30, 30]]
    assert found.img_id == 1


@pytest.mark.parametrize("cache", [True, False])
def test_resized_pixels_and_boxes(cache: bool, folder: Path) -> None:
    images = dataset(folder, size=20, cache=cache)
    assert images.cached is cache
    item = images[0]
    assert tuple(item["inputs"].shape) == (3, 20, 30)
    expected = cv2.resize(cv2.imread(str(folder / "images/1.png")), (30, 20))
    assert np.array_equal(item["inputs"].permute(1, 2, 0).numpy(), expected)
    assert item["data_samples"].gt_instances.bboxes[0].tolist() == [5, 5, 15, 10]
    assert item["data_samples"].gt_instances.areas[0] == 150.5  # of the original image
    assert tuple(images[1]["inputs"].shape) == (3, 33, 11)  # the long side is bounded


def test_flip_mirrors_pixels_and_boxes(folder: Path) -> None:
    plain, flipped = (dataset(folder).sample(0, flip=flip) for flip in (False, True))
    assert torch.equal(plain["inputs"].flip(2), flipped["inputs"])
    assert flipped["data_samples"].gt_instances.bboxes[0].tolist() == [30, 10, 50, 20]


def test_an_epoch_shows_every_image_once_and_positions_are_pure(folder: Path) -> None:
    one, other = dataset(folder, seed=3, flip=0.5), dataset(folder, seed=3, flip=0.5)
    for epoch in range(3):
        seen = {one[2 * epoch + k]["data_samples"].img_id for k in range(2)}
        assert seen == {1, 2}
    for position in (5, 0, 3):
        assert torch.equal(one[position]["inputs"], other[position]["inputs"])
    flips = {one[position]["data_samples"].flip for position in range(20)}
    assert flips == {True, False}


def test_multi_scale_draws_a_side_by_position(folder: Path) -> None:
    options = {"seed": 3, "size": (60, 100), "short_sides": (20, 40), "flip": 0.5}
    one, other = dataset(folder, **options), dataset(folder, **options)
    assert not one.cached
    assert not one.has_one_shape
    sides = set()
    for position in range(40):
        item = one[position]
        sample = item["data_samples"]
        height, width = item["inputs"].shape[1:]
        sides.add(min(height, width))
        assert max(height, width) <= 100
        assert sample.img_shape == (height, width)
        full_height, full_width = sample.ori_shape
        assert sample.scale_factor == (width / full_width, height / full_height)
        assert sample.gt_instances.bboxes[:, 2].max() <= width
        assert torch.equal(other[position]["inputs"], item["inputs"])
        areas = {150.5, 400.0, 270.0}
        assert set(sample.gt_instances.areas.tolist()) <= areas  # of the original image
    assert min(sides) >= 20
    assert max(sides) <= 40
    assert len(sides) > 10
    validation = dataset(folder, size=(60, 100))
    assert min(validation[0]["inputs"].shape[1:]) == 60


def test_positions_of_processes_make_the_same_batches() -> None:
    whole = list(Positions(passes=4, size=6))
    parts = [list(Positions(passes=4, size=2, rank=rank, world=3)) for rank in range(3)]
    joined = [p for i in range(4) for part in parts for p in part[2 * i : 2 * i + 2]]
    assert joined == whole == list(range(24))
    late = Positions(passes=4, size=6)
    late.start = 3
    assert list(late) == list(range(18, 24))


def test_target_size_of_the_stock_setting() -> None:
    assert pixels.target_size(480, 640, (800, 1333)) == (800, 1067)
    assert pixels.target_size(100, 1000, (800, 1333)) == (133, 1333)


def test_rate_over_time_is_linear_then_cosine(tmp_path: Path) -> None:
    result = tiny(tmp_path, schedule__iterations=20, schedule__warmup=5, probe__mode=None)
    rates: list[float] = []
    runner = build_runner(
        training.training(result, result.cells[0], device="cpu"), scratch=str(tmp_path / "x")
    )
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    for scheduler in (schedulers := runner.build_param_scheduler(runner.param_schedulers)):
        assert scheduler is not None
    for _ in range(20):
        rates.append(runner.optim_wrapper.optimizer.param_groups[0]["lr"])
        runner.optim_wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(0.01 * 0.01)
    assert max(rates) <= 0.01 * (1 + 1e-9)
    cosine = 0.5 * (1 + math.cos(math.pi * (15 - 5) / 15))
    assert rates[15] == pytest.approx(0.01 * (0.02 + 0.98 * cosine), rel=0.05)
    assert rates == sorted(rates[:5]) + sorted(rates[5:], reverse=True)


def test_policies_and_optimizers() -> None:
    schedule = Schedule(iterations=100, policy="step", steps=(0.5, 0.75), warmup=0, final_lr=0.0)
    assert rate_over_time(schedule, steps=100, rate=0.1) == [
        {"type": "MultiStepLR", "milestones": [50, 75], "gamma": 0.1, "by_epoch": False}
    ]
    half = Schedule(iterations=100, optimizer="SGD", weight_decay=0, clip=None, amp="fp16")
    with pytest.raises(EnvironmentProblem, match="bf16"):
        optim_wrapper(half, rate=0.1, device="cpu")


def test_warm_up_may_be_constant() -> None:
    schedule = Schedule(
        iterations=100,
        policy="step",
        steps=(0.5,),
        warmup=4,
        warmup_policy="constant",
        warmup_start=0.25,
    )
    warmup, _ = rate_over_time(schedule, steps=100, rate=0.1)
    assert warmup == {"type": "ConstantLR", "factor": 0.25, "by_epoch": False, "end": 4}


@pytest.mark.parametrize("policy", ["linear", "constant"])
@pytest.mark.parametrize(("warmup", "steps"), [(1, 4), (2, 4), (50, 2)])
def test_a_warmup_ends(warmup: int, steps: int, policy: str) -> None:
    given = {"iterations": steps, "warmup": warmup, "warmup_policy": policy, "policy": "step"}
    schedule = Schedule.model_validate({**given, "steps": ()})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedulers = [
        PARAM_SCHEDULERS.build({**each, "optimizer": optimizer})
        for each in rate_over_time(schedule, steps=steps, rate=0.1)
    ]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert rates[-1] == pytest.approx(0.1), rates
    assert (rates[0] < 0.1) == (min(warmup, steps - 1) > 1)


def test_rate_and_decay_of_single_parameters(tmp_path: Path) -> None:
    factors = {"bias_lr_mult": 2.0, "custom_keys": {"bn": {"decay_mult": 0.0}}}
    result = tiny(tmp_path, schedule__paramwise=factors, probe__mode=None)
    task = training.training(result, result.cells[0], device="cpu")
    runner = build_runner(task, scratch=str(tmp_path / "x"))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    modules = runner.model.named_modules()
    norms = {id(p) for _, m in modules if isinstance(m, BatchNorm2d) for p in m.parameters()}
    names = {id(p): name for name, p in runner.model.named_parameters()}
    seen = set()
    for group in wrapper.optimizer.param_groups:
        (parameter,) = group["params"]
        name = names[id(parameter)]
        named = "bn" in name
        bias = name.endswith("bias") and not named and id(parameter) not in norms
        assert group["weight_decay"] == (0.0 if named else 0.01)
        assert group["lr"] == pytest.approx(0.02 if bias else 0.01)
        seen.add((named, bias))
    assert seen == {(True, False), (False, True), (False, False)}


def test_bfloat16_trains_on_a_cpu(tmp_path: Path) -> None:
    weights = final_weights(run(tmp_path / "half", schedule__amp="bf16", schedule__iterations=3))
    plain = final_weights(run(tmp_path / "full", schedule__iterations=3))
    assert all(torch.isfinite(each).all() for each in weights.values())
    assert not all(torch.equal(weights[name], plain[name]) for name in plain)


def test_deterministic_mode_trains(tmp_path: Path) -> None:
    try:
        run(tmp_path, schedule__deterministic=True, schedule__iterations=2)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_accumulation_is_the_whole_batch_without_batch_statistics(tmp_path: Path) -> None:
    fixed = {"detector__norm_eval": True, "schedule__clip": None, "schedule__iterations": 1,
             "schedule__batch": 4, "schedule__warmup": 0, "schedule__optimizer": "SGD"}  # fmt: skip
    one = final_weights(run(tmp_path / "one", **fixed))
    two = final_weights(run(tmp_path / "two", **fixed, schedule__accumulate=2))
    difference = math.sqrt(sum(float((one[n] - two[n]).double().square().sum()) for n in one))
    norm = math.sqrt(sum(float(one[n].double().square().sum()) for n in one))
    assert 0 < difference / norm < 1e-3  # heads sample and normalize by pass


def test_cuda_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentProblem, match="doctor"):
        set_threads_and_device("cuda", deterministic=False)


def test_a_batch_that_cannot_be_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fpnprobe.mm.training import building

    monkeypatch.setattr(building, "get_world_size", lambda: 3)
    result = tiny(tmp_path)
    with pytest.raises(FpnProbeError, match="multiple of 3"):
        build_runner(
            training.training(result, result.cells[0], device="cpu"), scratch=str(tmp_path / "x")
        )


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    """Same global batches; heads sample and normalize by process, so agreement is not exact."""
    fixed = {"detector__norm_eval": True, "schedule__clip": None, "schedule__iterations": 3,
             "schedule__batch": 4, "schedule__optimizer": "SGD"}  # fmt: skip
    one = run(tmp_path / "one", **fixed)
    result = tiny(tmp_path / "two", **fixed)
    launch = launchers.Launch(nproc=2)
    (found,) = run_cells(
        result, result.cells, launch=launch, jobs=1, keep_going=True, watcher=Silent()
    )
    assert found.state == "done", found.reason
    ours, theirs = final_weights(one), final_weights(result.cells[0].folder)
    difference = math.sqrt(sum(float((ours[n] - theirs[n]).double().square().sum()) for n in ours))
    norm = math.sqrt(sum(float(ours[n].double().square().sum()) for n in ours))
    assert 0 < difference / norm < 1e-3


def test_bench_gives_ratios(tmp_path: Path) -> None:
    study = study_file(tmp_path / "study", data__size=64)
    found = bench.run(study, iterations=3, warmup=1, rounds=1)
    assert found["speedup"] == pytest.approx(found["stock"]["wall"] / found["ours"]["wall"])
    assert found["cpu_speedup"] > 0
    parts = found["parts"]
    assert set(parts) == {"data", "forward", "backward", "optimizer", "other", "probe"}
    assert all(seconds >= 0 for seconds in parts.values())
    assert parts["forward"] > 0 < parts["backward"]
    assert found["iterations"] == 2
