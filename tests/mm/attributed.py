"""Small detectors with random weights, an image with objects, and a run made without training."""

import json
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict

from fpnprobe.attribution.chain import Chain
from fpnprobe.config.cell_config import CellConfig
from fpnprobe.config.schema import Study
from fpnprobe.data import scenes
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.inspect.attribution import build_chain
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.training.model import model_config as cell_model
from fpnprobe.mm.variants import apply_variant
from fpnprobe.scales import ScaleBucket
from fpnprobe.study.folder.cell_key import cell_config

from . import small

SIDE = 128
BUCKETS = (
    ScaleBucket("small", 0, 24**2),
    ScaleBucket("medium", 24**2, 72**2),
    ScaleBucket("large", 72**2, float("inf")),
)
BOXES = torch.tensor([[8.0, 8, 24, 26], [30, 30, 70, 74], [40, 6, 56, 22], [6, 6, 122, 120]])


def config(name: str) -> ConfigDict:
    """`faster_rcnn`, `dc5`, `no_neck`, `cascade_rcnn`, `retinanet`, `fcos` or `atss`."""
    dense = name in ("retinanet", "fcos", "atss")
    made: ConfigDict = small.model_config(
        name if name == "fcos" else "retinanet" if dense else "faster_rcnn"
    )
    if name in ("dc5", "no_neck"):
        made = apply_variant(made, "DC5")
    if name == "no_neck":
        made.neck = None
        made.backbone.out_indices = (3,)
        made.rpn_head.in_channels = 64  # of C5
        made.roi_head.bbox_roi_extractor.out_channels = 64
        made.roi_head.bbox_head.in_channels = 64
    if name == "atss":
        head = made.bbox_head
        made.type = "ATSS"
        made.bbox_head = {
            "type": "ATSSHead",
            "num_classes": head.num_classes,
            "in_channels": 16,
            "feat_channels": 16,
            "stacked_convs": 1,
            "norm_cfg": {"type": "GN", "num_groups": 4},
            "anchor_generator": {
                "type": "AnchorGenerator",
                "ratios": [1.0],
                "octave_base_scale": 4,
                "scales_per_octave": 1,
                "strides": list(head.anchor_generator.strides),
            },
            "bbox_coder": {
                "type": "DeltaXYWHBBoxCoder",
                "target_means": [0.0] * 4,
                "target_stds": [0.1, 0.1, 0.2, 0.2],
            },
        }
        assigner = {"type": "ATSSAssigner", "topk": 9}
        made.train_cfg = {"assigner": assigner, "allowed_border": -1, "pos_weight": -1}
    if name == "cascade_rcnn":
        one, train = made.roi_head, made.train_cfg.rcnn
        made.type = "CascadeRCNN"
        made.roi_head = {
            "type": "CascadeRoIHead",
            "num_stages": 2,
            "stage_loss_weights": [1, 0.5],
            "bbox_roi_extractor": one.bbox_roi_extractor,
            "bbox_head": [one.bbox_head, one.bbox_head],
        }
        made.train_cfg.rcnn = [train, train]
    return made


def detector(name: str) -> Any:
    """Random weights, spread enough that detections and kinks exist; evaluation mode."""
    built = build_detector(config(name), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        heads = [part for part in (built.neck if built.with_neck else None,) if part is not None]
        heads += [getattr(built, n) for n in ("bbox_head", "roi_head") if hasattr(built, n)]
        for head in heads:
            for weight in head.parameters():
                if weight.dim() > 1:
                    fan = weight[0].numel()
                    weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan) ** 0.5)
    test = built.test_cfg.get("rcnn", built.test_cfg)
    test.score_thr, test.max_per_img = 0.0, 12
    return built


def image() -> DetectorImage:
    """Four objects of four classes, three buckets at 24 and 72 px."""
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    sides = BOXES[:, 2:] - BOXES[:, :2]
    shape = (SIDE, SIDE)
    meta = {
        "img_id": 7,
        "img_shape": shape,
        "ori_shape": shape,
        "scale_factor": (1.0, 1.0),
        "pad_shape": shape,
        "batch_input_shape": shape,
    }
    return DetectorImage(
        image_id=7,
        pixels=pixels,
        meta=meta,
        boxes=BOXES,
        labels=torch.arange(4),
        areas=sides.prod(1).double(),
    )


def chain(name: str) -> tuple[Any, Chain, DetectorImage]:
    """Detector, its chain, and the image."""
    built, one = detector(name), image()
    return built, build_chain(built, one.pixels), one


def make_run(root: Path, variants: tuple[str, ...] = ("DC5", "FPN")) -> Path:
    """The folder of a study whose cells hold what a training leaves, with random weights."""
    data = scenes.make(root / "scenes", train=1, val=5, size=96)
    buckets = [(b.name, b.low, None if b.high == float("inf") else b.high) for b in small.BUCKETS]
    study = Study.model_validate(
        {
            "name": "tiny",
            "question": "Which level?",
            "detector": {"width": 8, "channels": 16, "size": 96, "hidden": 32},
            "variants": variants,
            "data": {"root": str(data), "size": 96, "cache": False},
            "schedule": {"iterations": 1},
            "buckets": buckets,
        }
    )
    run = root / "run"
    for variant in variants:
        resolved = json.loads(json.dumps(cell_config(study, variant, 0)))
        folder = run / "cells" / variant.lower() / "seed-0"
        (folder / "checkpoints").mkdir(parents=True)
        weights = build_detector(
            cell_model(CellConfig.read(resolved), classes=len(scenes.CLASSES)), seed=0
        ).state_dict()
        torch.save({"state_dict": weights, "meta": {}}, folder / "checkpoints" / "final.pt")
        manifest = {
            "study": "tiny",
            "variant": variant,
            "seed": 0,
            "state": "done",
            "config": resolved,
            "classes": list(scenes.CLASSES),
            "annotations": str(data / "annotations" / "val.json"),
            "data": {"root": str(data)},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
    (run / "study.json").write_text(json.dumps({"name": "tiny", "variants": list(variants)}))
    return run
