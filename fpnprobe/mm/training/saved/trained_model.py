"""The trained model of a cell."""

import json
from pathlib import Path
from typing import Any

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training.model import model_config
from fpnprobe.mm.training.saved import checkpoint


def load_final(
    folder: Path,
    config: CellConfig,
    *,
    classes: int,
    device: str,
    file: str = checkpoint.FINAL,
) -> Any:
    """The model of a cell with its final weights, or those of `file`, in evaluation mode.

    Args:
        folder: Checkpoint folder of the cell.
        config: The settings of the cell.
        classes: Number of classes.
        device: Where to put it.
        file: Name of the checkpoint.

    Raises:
        FpnProbeError: If the checkpoint is missing, truncated or of another model.
    """
    content = checkpoint.read(folder / file)
    model = build_detector(model_config(config, classes=classes))
    try:
        model.load_state_dict(content["state_dict"])
    except (RuntimeError, KeyError) as error:
        line = str(error).strip().splitlines()[0][:120]
        raise FpnProbeError(f"{folder / file} holds the weights of another model: {line}") from None
    model.to(device)
    model.eval()
    return model


def final_facts(folder: Path) -> dict[str, Any]:
    """Read what `final.pt` tells of its training: seconds, the probe's summary, parameters, files.

    Raises:
        FpnProbeError: If it is missing or damaged.
    """
    content = checkpoint.read(folder / checkpoint.FINAL)
    try:
        meta = content["meta"]
        return {
            "seconds": float(meta["seconds"]),
            "probe": json.loads(meta["probe"]),
            "parameters": int(meta["parameters"]),
            "files": json.loads(meta.get("files") or "{}"),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FpnProbeError(
            f"{folder / checkpoint.FINAL} does not tell of its training ({type(error).__name__}): "
            "run with --fresh"
        ) from None
