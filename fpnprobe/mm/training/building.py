"""mmengine's Runner for a cell: model, data, optimizer, probe."""

import os
import warnings
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.hook import GradientProbeHook
from fpnprobe.mm.training.formatter import import_formatter
from fpnprobe.mm.training.images.cell_images import open_images
from fpnprobe.mm.training.images.loader import collate, count_workers, limit_threads
from fpnprobe.mm.training.images.positions import Positions
from fpnprobe.mm.training.log import TrainingLog
from fpnprobe.mm.training.loop import CellRunner
from fpnprobe.mm.training.model import has_masks, model_config
from fpnprobe.mm.training.optimizer import optim_wrapper, rate_over_time
from fpnprobe.mm.training.saved.weight_snapshots import KeptWeights
from fpnprobe.mm.training.task import Training

_IDLE = ("logger", "checkpoint", "sampler_seed", "param_scheduler")  # hooks that the loop replaces


def build_runner(task: Training, *, scratch: str) -> CellRunner:
    """Mmengine's Runner for a cell; `scratch` takes what mmengine insists on writing."""
    schedule = task.config.schedule
    world, rank = get_world_size(), get_rank()
    split = world * schedule.accumulate
    if schedule.batch % split:
        raise FpnProbeError(
            f"schedule.batch {schedule.batch} cannot be split over {world} processes x "
            f"schedule.accumulate {schedule.accumulate}: make it a multiple of {split}"
        )
    import_formatter()
    task.folder.mkdir(parents=True, exist_ok=True)
    passes = task.iterations * schedule.accumulate
    model = model_config(task.config, classes=len(task.classes))
    loader = train_loader(task, passes=passes, size=schedule.batch // split)
    # A new shape is tried out anew: images of their own shapes, and mask heads, whose batch is the
    # objects that were sampled, would be tried out for ever.
    one_shape = loader.dataset.has_one_shape and not has_masks(model)
    benchmark = one_shape and not schedule.deterministic
    cfg = Config(
        {
            "work_dir": scratch,
            "device": task.device,
            "log_file": str(task.folder / "log.txt") if rank == 0 else f"{scratch}/log.txt",
            "experiment_name": task.folder.as_posix().replace("/", "_"),
            "default_scope": "mmdet",
            "model": model,
            "train_cfg": {"type": "CellLoop", "max_iters": passes},
            "optim_wrapper": optim_wrapper(schedule, rate=task.rate, device=task.device),
            "param_scheduler": rate_over_time(schedule, steps=task.iterations, rate=task.rate),
            "default_hooks": dict.fromkeys(_IDLE),
            "randomness": {"seed": task.seed, "deterministic": schedule.deterministic},
            "env_cfg": {"cudnn_benchmark": benchmark},
            "launcher": "pytorch" if world > 1 else "none",
            "visualizer": {"type": "Visualizer", "vis_backends": None},
            "log_level": "WARNING",
        }
    )
    if world > 1:
        ids = None if task.device == "cpu" else [int(os.environ["LOCAL_RANK"])]
        cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": ids}
        cfg.model_wrapper_cfg["broadcast_buffers"] = False
    cfg.train_dataloader = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmengine's, about what we replace
        runner: CellRunner = CellRunner.from_cfg(cfg)
    if schedule.deterministic:  # mmengine asks for errors where CUDA has no such operator
        torch.use_deterministic_algorithms(True, warn_only=True)
    runner._train_dataloader = loader
    runner.register_hook(TrainingLog(task.folder, passes=passes))
    runner.register_hook(KeptWeights(task))
    if task.config.probe.mode is not None or _intervention(task) is not None:
        runner.register_hook(_probe(task))
    if schedule.channels_last:
        runner.model.to(memory_format=torch.channels_last)
    return runner


def train_loader(task: Training, *, passes: int, size: int) -> Any:
    """Load `size` images per pass in this process, with masks if the detector trains on them.

    What is evaluated does not matter here: a Mask R-CNN that is judged by its boxes needs them too.
    """
    schedule = task.config.schedule
    images = open_images(
        task.config,
        root=task.root,
        annotations=task.annotations,
        classes=task.classes,
        with_loss=True,
        seed=task.seed,
        batch=size * get_world_size(),
    )
    workers = schedule.workers
    if workers is None:
        workers = count_workers(cached=images.cached, device=task.device)
    return torch.utils.data.DataLoader(
        images,
        batch_size=size,
        sampler=Positions(passes=passes, size=size, rank=get_rank(), world=get_world_size()),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=task.device.startswith("cuda"),
        collate_fn=collate,
        worker_init_fn=limit_threads,
    )


def _intervention(task: Training) -> Any:
    return task.config.variant.intervention


def _probe(task: Training) -> GradientProbeHook:
    probe = task.config.probe.online
    if probe["mode"] is None:  # an intervention without a probe: no step is measured
        never = task.iterations * task.config.schedule.accumulate
        probe = {"mode": "routes", "interval": [never]}
    return GradientProbeHook(
        **probe,
        intervention=_intervention(task),
        buckets=task.buckets,
        out_dir=str(task.folder),
        study=task.config.study.name,
        variant=task.config.variant.name,
        seed=task.seed,
        run_file=False,  # a cell has its manifest
    )
