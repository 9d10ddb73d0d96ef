"""Train one cell through mmengine's Runner."""

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size, is_main_process

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.hook import GradientProbeHook
from fpnprobe.mm.training import checkpoint
from fpnprobe.mm.training.dataset import CellImages, Positions
from fpnprobe.mm.training.loop import CellRunner, Keeper
from fpnprobe.mm.training.model import model_config
from fpnprobe.mm.training.optimizer import optim_wrapper, rate_over_time

_IDLE = ("logger", "checkpoint", "sampler_seed", "param_scheduler")  # hooks that the loop replaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is needed to train a cell.

    Attributes:
        config: resolved configuration, a study of one variant and one seed.
        key: key of the cell.
        folder: its folder.
        root: COCO folder.
        annotations: annotation file to train on.
        classes: names of the classes.
        iterations: optimizer steps.
        rate: learning rate.
        buckets: scale buckets as (name, low, high) in px^2.
        device: "cpu" or "cuda".
    """

    config: Mapping[str, Any]
    key: str
    folder: Path
    root: str
    annotations: str
    classes: tuple[str, ...]
    iterations: int
    rate: float
    buckets: tuple[Any, ...]
    device: str

    @property
    def seed(self) -> int:
        """Seed of the cell."""
        return int(self.config["seeds"][0])


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves: seconds, and what the probe has to say about itself."""

    seconds: float
    probe: Mapping[str, Any]


def train(
    task: Training,
    *,
    report: Callable[[int, float, float | None], None],
    stop: Callable[[], bool],
    checkpoint_every: float,
) -> Trained:
    """Train to the end, from the saved state if there is one, and write `final.pt`.

    Raises:
        fpnprobe.mm.training.loop.Stopped: if `stop` became true; the state is saved.
        NonFiniteLoss: if the loss became NaN or infinite.
    """
    schedule = task.config["schedule"]
    set_threads_and_device(task.device, deterministic=schedule["deterministic"])
    join_processes(task.device)
    folder = task.folder / "checkpoints"
    keeper = Keeper(folder, key=task.key, every=checkpoint_every, report=report, stop=stop)
    with tempfile.TemporaryDirectory(prefix="fpnprobe-") as scratch:
        runner = build_runner(task, scratch=scratch)
        runner.keeper = keeper
        runner.accumulate = schedule["accumulate"]
        runner.train()
        hooks = [hook for hook in runner.hooks if hasattr(hook, "summary")]
        probe = hooks[0].summary() if hooks else {}
        if is_main_process():
            state = checkpoint.bare(runner.model).state_dict()
            meta = {"key": task.key, "classes": list(task.classes), "seconds": keeper.seconds}
            meta["probe"] = json.dumps(probe)
            meta["parameters"] = sum(each.numel() for each in runner.model.parameters())
            checkpoint.write(folder / checkpoint.FINAL, {"state_dict": state, "meta": meta})
            keeper.path.unlink(missing_ok=True)
        if get_world_size() > 1:
            torch.distributed.destroy_process_group()
    return Trained(keeper.seconds, probe)


def set_threads_and_device(device: str, *, deterministic: bool) -> None:
    """Prepare torch for a cell on this device.

    Raises:
        EnvironmentProblem: if CUDA is asked for and absent.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(
            "device 'cuda' is asked for, but torch finds no CUDA device: use --device cpu, or "
            "look at `fpnprobe doctor`"
        )
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = not deterministic
        torch.backends.cudnn.allow_tf32 = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def join_processes(device: str) -> None:
    """Join the processes that torchrun started, by gloo on CPU and NCCL on CUDA."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or torch.distributed.is_initialized():
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")


def build_runner(task: Training, *, scratch: str) -> CellRunner:
    """Mmengine's Runner for a cell; `scratch` takes what mmengine insists on writing."""
    schedule = task.config["schedule"]
    world, rank = get_world_size(), get_rank()
    split = world * schedule["accumulate"]
    if schedule["batch"] % split:
        raise FpnProbeError(
            f"schedule.batch {schedule['batch']} cannot be split over {world} processes x "
            f"schedule.accumulate {schedule['accumulate']}: make it a multiple of {split}"
        )
    passes = task.iterations * schedule["accumulate"]
    model = model_config(task.config, classes=len(task.classes))
    cfg = Config(
        {
            "work_dir": scratch,
            "log_file": str(task.folder / "log.txt") if rank == 0 else f"{scratch}/log.txt",
            "experiment_name": task.folder.as_posix().replace("/", "_"),
            "default_scope": "mmdet",
            "model": model,
            "train_cfg": {"type": "CellLoop", "max_iters": passes},
            "optim_wrapper": optim_wrapper(schedule, rate=task.rate, device=task.device),
            "param_scheduler": rate_over_time(schedule, steps=task.iterations, rate=task.rate),
            "default_hooks": dict.fromkeys(_IDLE),
            "randomness": {"seed": task.seed, "deterministic": schedule["deterministic"]},
            "env_cfg": {"cudnn_benchmark": not schedule["deterministic"]},
            "launcher": "pytorch" if world > 1 else "none",
            "visualizer": {"type": "Visualizer", "vis_backends": None},
            "log_level": "WARNING",
        }
    )
    if world > 1:
        ids = None if task.device == "cpu" else [int(os.environ["LOCAL_RANK"])]
        cfg.model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": ids}
        cfg.model_wrapper_cfg["broadcast_buffers"] = False
    loader = train_loader(task, passes=passes, size=schedule["batch"] // split)
    cfg.train_dataloader = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmengine's, about what we replace
        runner: CellRunner = CellRunner.from_cfg(cfg)
    runner._train_dataloader = loader
    if task.config["probe"]["mode"] is not None or _intervention(task) is not None:
        runner.register_hook(_probe(task))
    if schedule["channels_last"]:
        runner.model.to(memory_format=torch.channels_last)
    return runner


def train_loader(task: Training, *, passes: int, size: int) -> Any:
    """The data of this process: `size` images per pass."""
    data, schedule = task.config["data"], task.config["schedule"]
    images = CellImages(
        task.root,
        task.annotations,
        classes=task.classes,
        size=tuple(data["size"]) if isinstance(data["size"], list) else data["size"],
        seed=task.seed,
        flip=data["flip"],
        cache=data["cache"],
        masks=task.config["evaluation"]["iou_type"] == "segm",
    )
    workers = schedule["workers"]
    if workers is None:
        workers = 0 if images.cached and task.device == "cpu" else 2
    return torch.utils.data.DataLoader(
        images,
        batch_size=size,
        sampler=Positions(passes=passes, size=size, rank=get_rank(), world=get_world_size()),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=task.device.startswith("cuda"),
        collate_fn=_collate,
    )


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: [sample[key] for sample in samples] for key in samples[0]}


def _intervention(task: Training) -> Any:
    return task.config["variants"][0].get("intervention")


def _probe(task: Training) -> GradientProbeHook:
    probe = task.config["probe"]
    if probe["mode"] is None:  # an intervention without a probe: no step is measured
        never = task.iterations * task.config["schedule"]["accumulate"]
        probe = {"mode": "routes", "interval": [never]}
    return GradientProbeHook(
        **probe,
        intervention=_intervention(task),
        buckets=task.buckets,
        out_dir=str(task.folder),
        study=task.config["name"],
        variant=task.config["variants"][0]["name"],
        seed=task.seed,
    )
