"""Trainings that take seconds: narrow detectors, scenes of 96 px, mmengine's own Runner."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner

import fpnprobe.mm  # noqa: F401
from fpnprobe.data import scenes
from fpnprobe.mm.detectors import build_detector, detector_config

SIZE = 96
BUCKETS = scenes.buckets(SIZE)
SGD = {"type": "SGD", "lr": 0.005, "momentum": 0.9, "weight_decay": 1e-4}

PIPELINE: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PackDetInputs"},
]


def make_scenes(root: Path, images: int = 8) -> Path:
    """A COCO folder of small scenes."""
    return scenes.make(root / "scenes", train=images, val=2, size=SIZE)


def model_config(name: str, *, norm_eval: bool = False, frozen_stages: int = -1) -> Any:
    """`faster_rcnn`, `retinanet` or `fcos`, narrow."""
    spec = {
        "framework": "faster_rcnn" if name == "faster_rcnn" else "retinanet",
        "width": 8,
        "channels": 16,
        "size": SIZE,
        "hidden": 32,
        "stacked_convs": 1,
        "norm_eval": norm_eval,
        "frozen_stages": frozen_stages,
    }
    config = detector_config(spec, len(scenes.CLASSES))
    if name == "fcos":
        config.type = "FCOS"
        config.bbox_head = {
            "type": "FCOSHead",
            "num_classes": len(scenes.CLASSES),
            "in_channels": 16,
            "feat_channels": 16,
            "stacked_convs": 1,
            "strides": list(config.bbox_head.anchor_generator.strides),
            "regress_ranges": ((-1, 12), (12, 24), (24, 48), (48, 96), (96, 1e8)),
            "norm_cfg": {"type": "GN", "num_groups": 4},
        }
        config.train_cfg = None
    return config


def train(
    root: Path,
    work_dir: Path,
    *,
    model: str | Any = "retinanet",
    hooks: list[Any] | None = None,
    iterations: int = 4,
    batch: int = 2,
    workers: int = 0,
    optim_wrapper: Mapping[str, Any] | None = None,
    resume: bool = False,
    save_every: int | None = None,
    pipeline: list[dict[str, Any]] | None = None,
    before: Any = None,
) -> Runner:
    """Train with the given hooks and return the runner."""
    unused = ("logger", "timer", "runtime_info", "sampler_seed", "param_scheduler")
    hooks_config: dict[str, Any] = dict.fromkeys(unused)
    saver = {"type": "CheckpointHook", "interval": save_every, "by_epoch": False}
    hooks_config["checkpoint"] = saver if save_every else None
    dataset = {
        "type": "CocoDataset",
        "ann_file": str(root / "annotations" / "train.json"),
        "data_prefix": {"img": str(root / "images")},
        "metainfo": {"classes": scenes.CLASSES},
        "pipeline": pipeline or PIPELINE,
    }
    built = model
    if isinstance(model, str):
        built = build_detector(model_config(model), seed=1)
    runner = Runner(
        model=built,
        work_dir=str(work_dir),
        train_dataloader={
            "dataset": dataset,
            "batch_size": batch,
            "num_workers": workers,
            "sampler": {"type": "InfiniteSampler"},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"by_epoch": False, "max_iters": iterations},
        optim_wrapper=dict(optim_wrapper or {"type": "OptimWrapper", "optimizer": SGD}),
        default_hooks=hooks_config,
        custom_hooks=hooks,
        resume=resume,
        randomness={"seed": 3, "deterministic": True},
        log_level="ERROR",
        # mmengine warns of two runs with one name in one second.
        experiment_name=f"{work_dir.name}-{uuid.uuid4().hex}",
        default_scope="mmdet",
    )
    if before is not None:
        before(runner)
    try:
        runner.train()
    finally:
        torch.use_deterministic_algorithms(False)  # as it was before `randomness`
    return runner


def hook(out: Path, **options: Any) -> dict[str, Any]:
    """Config of a probe hook that measures with the scenes' buckets."""
    buckets = [(b.name, b.low, b.high) for b in BUCKETS]
    return {"type": "GradientProbeHook", "buckets": buckets, "out_dir": str(out), **options}


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    """Copies of all weights and buffers."""
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def assert_bit_identical(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> None:
    """Every weight and buffer equals its twin to the last bit."""
    assert a.keys() == b.keys()
    different = [key for key in a if not torch.equal(a[key], b[key])]
    assert not different, different


def hooks_left(model: torch.nn.Module) -> int:
    """Forward hooks on any module, and overridden methods on instances."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)
    covered = sum(
        callable(value) and callable(getattr(type(module), name, None))
        for module in model.modules()
        for name, value in vars(module).items()
    )
    on_tensors = sum(len(p._backward_hooks or ()) for p in model.parameters())
    return found + covered + on_tensors


def assert_nothing_left(runner: Runner) -> None:
    """No hook, no covered method on model, optimizer wrapper, loop or pipeline."""
    model = getattr(runner.model, "module", runner.model)
    assert hooks_left(model) == 0
    wrapper: Any = runner.optim_wrapper
    assert not {"optim_context", "update_params", "backward"} & vars(wrapper).keys()
    assert "run" not in vars(runner._train_loop)
    pipeline: Any = runner.train_dataloader.dataset.pipeline.transforms
    assert {type(one).__module__.split(".")[0] for one in pipeline} <= {"mmdet", "mmcv"}
    assert not any("mapping_table" in vars(one) for one in pipeline)
