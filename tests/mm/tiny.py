"""A study that trains in seconds, for tests of everything around training."""

from pathlib import Path
from typing import Any

from fpnprobe.config import loading, overrides
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.folder.study_folder import Output

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "question": "Does it run?",
    "detector": {"width": 8, "channels": 16, "hidden": 16, "size": 64, "proposals": 16, "rois": 8},
    "variants": ["FPN"],
    "seeds": [0],
    "data": {"scenes": {"train": 6, "val": 3, "size": 64, "seed": 0}},
    "schedule": {"iterations": 8, "batch": 2, "lr": 0.01, "warmup": 2},
    "probe": {"mode": "routes", "interval": 3},
    "buckets": [["small", 0, 64], ["medium", 64, 576], ["large", 576, None]],
    "resources": {"checkpoint_seconds": 0.0},
}


def tiny(out: Path, **changes: Any) -> Output:
    """The tiny study in a folder, `study.json` written; changes by dotted key, "__" for "."."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    study = loading.validate(overrides.apply(CONTENT, changed))
    result = study_folder.of(study, source=dataset.prepare(study, out=out), out=out)
    result.write()
    return result


def study_file(folder: Path, **changes: Any) -> Path:
    """The tiny study as a file."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    content = overrides.apply(CONTENT, changed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {value!r}" for key, value in content.items()]
    (folder / "study.py").write_text("\n".join(lines) + "\n")
    return folder
