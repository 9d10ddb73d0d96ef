"""Facts about a run that its mmengine runner knows: its config, its data, what is frozen."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def config_name(runner: Any) -> str:
    """Name a run that nobody named: by its config, else by its folder."""
    file = getattr(runner.cfg, "filename", None)
    return Path(file).stem if file else Path(runner.work_dir).resolve().name


def advise_thawing(backbone: Any, frozen: list[str]) -> str:
    """Say how the frozen stages would be trained; "" where none is frozen."""
    if not frozen:
        return ""
    names = ", ".join(frozen)
    if getattr(backbone, "frozen_stages", -1) > 0:
        return (
            f"{names} is frozen (model.backbone.frozen_stages={backbone.frozen_stages}) and has "
            "no gradient: set frozen_stages=0 to train and measure it"
        )
    return f"{names} is frozen and has no gradient: let its parameters train to measure it"


def describe_config(runner: Any) -> dict[str, Any]:
    """Describe the config: its file, its model as data, its accumulation."""
    config = runner.cfg
    model = config.get("model")
    return json_content(
        {
            "file": getattr(config, "filename", None),
            "model": model.to_dict() if hasattr(model, "to_dict") else None,
            "accumulate": runner.optim_wrapper._accumulative_counts,
        }
    )


def find_annotation_file(runner: Any, place: int = 0) -> str | None:
    """Find what the validation's metric at that place judges by: its config's, else the data's."""
    evaluators = runner.cfg.get("val_evaluator") or {}
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    if place < len(evaluators) and evaluators[place].get("ann_file"):
        return str(Path(evaluators[place]["ann_file"]).resolve())
    dataset = runner.val_loop.dataloader.dataset
    while not getattr(dataset, "ann_file", None) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    annotations = getattr(dataset, "ann_file", None)
    return str(Path(annotations).resolve()) if annotations else None


def find_validation_images(runner: Any) -> dict[str, Any]:
    """Find the folder of the validation images, and the (short, long) side of their resizing."""
    dataset = runner.val_loop.dataloader.dataset
    while not hasattr(dataset, "data_prefix") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    prefix = getattr(dataset, "data_prefix", {}).get("img") or getattr(dataset, "data_root", None)
    images: dict[str, Any] = {"folder": str(Path(prefix or ".").resolve()), "size": None}
    for step in getattr(getattr(dataset, "pipeline", None), "transforms", ()):
        scale = getattr(step, "scale", None)
        if type(step).__name__ == "Resize" and scale:
            sides = (scale, scale) if isinstance(scale, int) else scale
            images["size"] = [min(sides), max(sides)]
            break
    return images


def json_content(value: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what JSON can hold, with null for numbers that are not finite and text for objects."""

    def mend(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {str(key): mend(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [mend(inner) for inner in item]
        if isinstance(item, float) and not math.isfinite(item):
            return None
        return item if item is None or isinstance(item, str | int | float) else str(item)

    return {key: mend(item) for key, item in value.items()}
