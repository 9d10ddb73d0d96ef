"""Train any mmdet config with the probe; `python -m` of this is one process of several."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.runner import Runner

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors.stock import config_file, read_config, set_classes

_SPLITS = (("train_dataloader", "train"), ("val_dataloader", "val"), ("test_dataloader", "val"))


def train_config(
    config: str,
    *,
    data: str | None = None,
    work_dir: str | None = None,
    options: Sequence[str] = (),
    resume: bool = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    mode: str = "routes",
    interval: int | None = None,
    budget: float | None = 0.02,
    strict: bool = False,
    seed: int = 0,
    launcher: str = "none",
) -> Path:
    """Train a config as mmdet's own `tools/train.py` does, with the probe in its hooks.

    Args:
        config: A config file, or the name of one shipped with mmdet.
        data: Data folder with a training and a validation split (see `fpnprobe data check`); its
            categories become the classes. Without it, the config's own data.
        work_dir: Where to write; `work_dirs/<config>` by default.
        options: `key=value`, as mmengine's `--cfg-options`.
        resume: Go on from the last checkpoint in `work_dir`.
        amp: Train in mixed precision.
        auto_scale_lr: Scale the learning rate to the batch.
        mode: Of the probe.
        interval: Of the probe; or
        budget: of the probe.
        strict: Of the probe.
        seed: Of the training.
        launcher: `none`, `pytorch` or `slurm`, as mmengine has them.

    Returns:
        The work_dir.

    Raises:
        FpnProbeError: if the config, an option or the data cannot be used.
    """
    import fpnprobe.mm.hook  # noqa: F401 - registers the hook

    loaded = read_config(config)
    folder = choose_work_dir(config, work_dir)
    loaded.work_dir, loaded.launcher, loaded.resume = str(folder), launcher, resume
    loaded.randomness = ConfigDict(seed=seed, **dict(loaded.get("randomness") or {}))
    loaded.randomness.seed = seed
    if data is not None:
        use_data(loaded, Path(data))
    if options:
        loaded.merge_from_dict(_parsed(options))
    if amp:
        loaded.optim_wrapper.type = "AmpOptimWrapper"
        loaded.optim_wrapper.setdefault("loss_scale", "dynamic")
    if auto_scale_lr:
        if "base_batch_size" not in (loaded.get("auto_scale_lr") or {}):
            raise FpnProbeError(
                f"--auto-scale-lr: {config} does not say its base batch: set it by "
                "--cfg-options auto_scale_lr.base_batch_size=16"
            )
        loaded.auto_scale_lr.enable = True
    probe = {"type": "GradientProbeHook", "mode": mode, "interval": interval, "budget": budget}
    hooks = [h for h in loaded.get("custom_hooks") or [] if h["type"] != "GradientProbeHook"]
    loaded.custom_hooks = [*hooks, {**probe, "strict": strict}]
    try:
        runner = Runner.from_cfg(loaded)
    except (KeyError, TypeError, AttributeError, FileNotFoundError, ImportError) as error:
        line = " ".join(str(error).split())[:300]
        raise FpnProbeError(f"{config} cannot be built ({type(error).__name__}): {line}") from error
    runner.train()
    return folder


def choose_work_dir(config: str, work_dir: str | None) -> Path:
    """The given folder, or `work_dirs/<config>`."""
    return Path(work_dir) if work_dir else Path("work_dirs") / config_file(config).stem


def use_data(config: Config, root: Path) -> None:
    """Let a config train and validate on a COCO folder, with its categories as the classes.

    Raises:
        FpnProbeError: if the folder has no annotations, or the config no plain COCO data set.
    """
    from fpnprobe.data import coco

    splits = {name: coco.open_split(root, name) for name in ("train", "val")}
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
        found = config.get(key)
        for each in found if isinstance(found, list) else [found] if found else []:
            if str(each.get("type")).endswith("CocoMetric"):
                each.ann_file = str(splits["val"].file.resolve())
    set_classes(config.model, len(classes))


def _parsed(options: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as mmengine reads them."""
    found = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key:
            raise FpnProbeError(f"--cfg-options {option!r}: expected KEY=VALUE")
        found[key] = DictAction._parse_iterable(value)
    return found


if __name__ == "__main__":
    import fpnprobe.mm  # noqa: F401 - operators, before anything imports them

    train_config(**json.loads(sys.argv[1]), launcher="pytorch")
