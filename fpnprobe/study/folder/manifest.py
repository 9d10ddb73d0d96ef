"""The manifest of a cell: what a stranger needs to repeat it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fpnprobe
from fpnprobe.config.schema import Study
from fpnprobe.store import paths
from fpnprobe.store.installed import versions
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.source import Source


def git_state() -> dict[str, Any]:
    """Return the revision of this package's checkout and whether it was changed; None for none."""
    root = Path(fpnprobe.__file__).parent.parent

    def git(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    if not (root / ".git").exists():
        return {"revision": None, "dirty": None}
    status = git("status", "--porcelain", "--untracked-files=no")
    return {"revision": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def begin(
    cell: Cell, *, study: Study, source: Source, iterations: int, command: str, device: str
) -> dict[str, Any]:
    """The manifest of a cell that starts now."""
    schedule = study.schedule
    notes = [
        *source.notes,
        f"learning rate {schedule.rate:g} for steps of {schedule.batch} images, whatever "
        "schedule.accumulate and the number of processes"
        + (
            f"; {schedule.lr:g} at batch {schedule.base_batch}, scaled linearly"
            if schedule.base_batch
            else ""
        ),
        "gradients are those of the loss as used in the step, before clipping, unscaled",
    ]
    if schedule.accumulate > 1:
        notes.append(
            f"ledger iterations count forward passes, {schedule.accumulate} to a step; batch "
            "normalization sees the images of one pass"
        )
    change = study.variant(cell.variant).change
    if change is not None:
        notes.append(
            f"an intervention, in training only: {change!r}; the forward pass is untouched, and "
            "the ledger holds the gradient before the gains"
        )
    code = cell_key.code_version()
    earlier = (cell.manifest() or {}).get("code", code)
    if earlier != code:
        notes.append(f"begun by the code {earlier}, gone on with by {code}")
    return {
        "study": study.name,
        "variant": cell.variant,
        "intervention": None if change is None else change.to_data(),
        "seed": cell.seed,
        "key": cell.key,
        "state": "running",
        "reason": "",
        "holes": {},
        "command": command,
        "config": cell_key.cell_config(study, cell.variant, cell.seed),
        "code": code,
        "iterations": iterations,
        "versions": dict(versions()),
        "git": git_state(),
        "data": {
            "root": paths.to_stored(source.root, study=cell.out),
            "root_hash": source.root_hash,
            "images": list(source.images),
            "objects": list(source.objects),
        },
        "device": device,
        "speed": _speed_settings(study),
        "timings": dict.fromkeys(("train_s", "evaluate_s", "per_iteration_s", "images_per_second")),
        "probe": study.probe.online,
        "model": {},
        "annotations": paths.to_stored(source.val, study=cell.out),
        "classes": list(source.classes),
        "category_ids": list(source.category_ids),
        "notes": notes,
    }


def _speed_settings(study: Study) -> Mapping[str, Any]:
    """The settings that only change how fast a cell trains."""
    schedule = study.schedule
    return {
        "threads": study.resources.threads,
        "channels_last": schedule.channels_last,
        "fused_optimizer": schedule.fused,
        "amp": schedule.amp,
        "cudnn_benchmark": not schedule.deterministic,
        "uint8_cache": study.data.cache,
    }
