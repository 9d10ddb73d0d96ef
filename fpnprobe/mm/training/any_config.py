"""Train any mmdet config with the probe; `python -m` of this is one process of several."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from fpnprobe.config.mmdet_configs import config_file, find_misspelt
from fpnprobe.config.training_request import TrainingRequest
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.ledger.parts import read as read_table
from fpnprobe.mm.detectors.stock import read_config, set_classes
from fpnprobe.mm.training.device import join_processes
from fpnprobe.mm.training.first_iteration import FirstIteration
from fpnprobe.mm.training.refused_run import remove_if_refused

_SPLITS = (("train_dataloader", "train"), ("val_dataloader", "val"), ("test_dataloader", "val"))
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OSError, ImportError)


def train_config(request: TrainingRequest) -> Path:
    """Train a config as mmdet's own `tools/train.py` does, with the probe in its hooks.

    Returns:
        The work_dir, which is left as it was where nothing was trained.

    Raises:
        FpnProbeError: If the config, an option or the data cannot be used.
        EnvironmentProblem: If pretrained weights cannot be fetched.
    """
    import fpnprobe.mm.hook  # noqa: F401 - registers the hook

    config = prepare_config(request)
    if request.launcher == "pytorch":
        _join_torchrun(config)
    first_iteration = FirstIteration()
    folder = Path(config.work_dir)
    with remove_if_refused(folder, has_begun=lambda: first_iteration.has_begun):
        runner = _build_runner(request, config)
        runner.register_hook(first_iteration)
        try:
            runner.train()
        except (URLError, ConnectionError) as error:
            raise EnvironmentProblem(
                f"{request.config} begins from pretrained weights that cannot be fetched ({error})"
                ": give a file by --cfg-options model.backbone.init_cfg.checkpoint=FILE, or draw "
                "all weights by --cfg-options model.backbone.init_cfg=None"
            ) from error
    return folder


def prepare_config(request: TrainingRequest) -> Config:
    """The config with everything that was asked for; nothing is built or written.

    Raises:
        FpnProbeError: If config, options, data or work_dir do not fit.
    """
    config = read_config(request.config)
    folder = choose_work_dir(request.config, request.work_dir)
    if not request.resume:
        _refuse_to_overwrite(folder)
    config.work_dir, config.launcher = str(folder), request.launcher
    config.resume = request.resume
    config.randomness = ConfigDict({**(config.get("randomness") or {}), "seed": request.seed})
    if request.data is not None:
        use_data(config, Path(request.data))
    if request.options:
        _merge_options(config, request.options)
    if request.amp:
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.setdefault("loss_scale", "dynamic")
    if request.auto_scale_lr:
        if "base_batch_size" not in (config.get("auto_scale_lr") or {}):
            raise FpnProbeError(
                f"--auto-scale-lr: {request.config} does not say its base batch: set it by "
                "--cfg-options auto_scale_lr.base_batch_size=16"
            )
        config.auto_scale_lr.enable = True
    hooks = list(config.get("custom_hooks") or [])
    probes = [hook for hook in hooks if hook["type"] == "GradientProbeHook"]
    other_hooks = [hook for hook in hooks if hook["type"] != "GradientProbeHook"]
    config.custom_hooks = [*other_hooks, request.probe_hook(probes[0] if probes else None)]
    return config


def choose_work_dir(config: str, work_dir: str | None) -> Path:
    """The folder that was asked for, or `work_dirs/<config>`."""
    return Path(work_dir) if work_dir else Path("work_dirs") / config_file(config).stem


def use_data(config: Config, root: Path) -> None:
    """Let a config train and validate on a COCO folder, with its categories as the classes.

    Raises:
        FpnProbeError: If the folder has no annotations, or the config no plain COCO data set.
    """
    from fpnprobe.data.splits import open_split

    splits = {name: open_split(root, name) for name in ("train", "val")}
    classes = splits["train"].annotations.category_names
    for key, name in _SPLITS:
        loader = config.get(key)
        if loader is None:
            continue
        dataset = loader.dataset
        while "dataset" in dataset:  # such as RepeatDataset, MultiImageMixDataset
            dataset = dataset.dataset
        if not str(dataset.get("type")).endswith("CocoDataset"):
            raise FpnProbeError(
                f"{key} is a {dataset.get('type')}: --data replaces CocoDataset only; set the "
                "data by --cfg-options"
            )
        dataset.update(
            data_root="",
            ann_file=str(splits[name].file.resolve()),
            data_prefix=ConfigDict(img=f"{splits[name].folder.resolve()}/"),
            metainfo=ConfigDict(classes=classes),
        )
    for key in ("val_evaluator", "test_evaluator"):
        evaluators = config.get(key) or []
        for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
            if str(evaluator.get("type")).endswith("CocoMetric"):
                evaluator.ann_file = str(splits["val"].file.resolve())
    set_classes(config.model, len(classes))


def _refuse_to_overwrite(folder: Path) -> None:
    """Raise where another training has left its ledger: hours of work are not deleted by default.

    Raises:
        FpnProbeError: Naming both ways on.
    """
    table = read_table(folder, "ledger")
    if table is not None and len(table):
        raise FpnProbeError(
            f"{folder} holds the ledger of a training: --resume goes on from its last checkpoint, "
            "--work-dir starts another one elsewhere"
        )


def _merge_options(config: Config, options: Sequence[str]) -> None:
    """Merge `key=value` texts as mmengine reads them.

    Raises:
        FpnProbeError: If a key does not fit the config.
    """
    values: dict[str, Any] = {}
    for option in options:
        key, _equals, value = option.partition("=")
        values[key] = DictAction._parse_iterable(value)
    try:
        config.merge_from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise FpnProbeError(f"--cfg-options {' '.join(options)}: {line}") from error


def _join_torchrun(config: Config) -> None:
    """Join torchrun's processes; without CUDA by gloo, which mmengine does not know."""
    if not join_processes("cuda" if torch.cuda.is_available() else "cpu"):
        config.launcher = "none"  # a single process
        return
    if not torch.cuda.is_available():
        wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
        unused = config.get("find_unused_parameters", False)
        usual = {**wrapper, "find_unused_parameters": unused}
        config.model_wrapper_cfg = ConfigDict(
            {**usual, **(config.get("model_wrapper_cfg") or {}), "device_ids": None}
        )


def _build_runner(request: TrainingRequest, config: Config) -> Runner:
    """Build everything that a wrong config or missing data would break.

    Raises:
        FpnProbeError: Naming what cannot be built.
    """
    try:
        runner = Runner.from_cfg(config)
        if runner._train_loop is not None:
            runner._train_loop = runner.build_train_loop(runner._train_loop)
        if runner._val_loop is not None:
            runner._val_loop = runner.build_val_loop(runner._val_loop)
    except _UNUSABLE as error:
        line = " ".join(str(error).split())[:300]
        fix = "; give the data with --data DIR" if "data/" in line and not request.data else ""
        keys = [option.partition("=")[0] for option in request.options]
        hints = find_misspelt(read_config(request.config).to_dict(), keys)
        raise FpnProbeError(
            f"{request.config} cannot be built ({type(error).__name__}): {line}{fix}"
            f"{'; '.join(['', *hints])}"
        ) from error
    return runner


if __name__ == "__main__":
    import fpnprobe.mm  # noqa: F401 - operators, before anything imports them

    try:
        train_config(TrainingRequest.from_json(sys.argv[1]))
    except FpnProbeError as error:
        sys.exit(f"error: {error}")
