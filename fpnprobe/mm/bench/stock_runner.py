"""The same cell with mmdet's own runner settings, to compare our training's speed with."""

from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from fpnprobe.mm.training.model import model_config
from fpnprobe.mm.training.task import Training


def stock_runner(task: Training, *, scratch: str) -> Runner:
    """Mmengine's Runner as mmdet's base configs set it up, for the same model, data and schedule.

    Its settings are those of mmdet's `coco_detection.py` and `default_runtime.py`: images decoded
    by the pipeline in two persistent workers, shuffled by `DefaultSampler`, default hooks, default
    memory layout, an optimizer that is not fused.
    """
    data, schedule = task.config.data, task.config.schedule
    size = data.known_size
    short, long = (size, size * 5 // 3) if isinstance(size, int) else (size or (800, 1333))
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "Resize", "scale": (long, short), "keep_ratio": True},
        {"type": "RandomFlip", "prob": data.flip},
        {"type": "PackDetInputs"},
    ]
    optimizer = {"type": schedule.optimizer, "lr": task.rate}
    wrapper: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": optimizer | {"weight_decay": schedule.weight_decay},
    }
    if schedule.clip is not None:
        wrapper["clip_grad"] = {"max_norm": schedule.clip, "norm_type": 2}
    cfg = Config(
        {
            "work_dir": scratch,
            "experiment_name": scratch.replace("/", "_"),
            "default_scope": "mmdet",
            "model": model_config(task.config, classes=len(task.classes)),
            "train_cfg": {"by_epoch": False, "max_iters": task.iterations},
            "optim_wrapper": wrapper,
            "train_dataloader": {
                "batch_size": schedule.batch,
                "num_workers": 2,
                "persistent_workers": True,
                "sampler": {"type": "DefaultSampler", "shuffle": True},
                "batch_sampler": {"type": "AspectRatioBatchSampler"},
                "dataset": {
                    "type": "CocoDataset",
                    "data_root": task.root,
                    "ann_file": task.annotations,
                    "data_prefix": {"img": "images/"},
                    "metainfo": {"classes": task.classes},
                    "filter_cfg": {"filter_empty_gt": True, "min_size": 32},
                    "pipeline": pipeline,
                },
            },
            "randomness": {"seed": task.seed},
            "log_level": "ERROR",
            "visualizer": {"type": "Visualizer", "vis_backends": None},
        }
    )
    runner: Runner = Runner.from_cfg(cfg)
    return runner
