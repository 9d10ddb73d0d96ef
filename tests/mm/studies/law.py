"""Take a data folder that the check accepts through every later step, in this process."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.config import loading
from fpnprobe.evaluation import evaluate
from fpnprobe.mm.inspect.attribution.study import attribute_run
from fpnprobe.mm.inspect.attribution.words import check_words
from fpnprobe.mm.inspect.offline import probe_offline
from fpnprobe.report import build
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.runner import worker

CONTENT: dict[str, Any] = {
    "name": "law",
    "question": "Does it run?",
    "detector": {
        "framework": "retinanet", "channels": 16, "width": 8, "size": 64, "stacked_convs": 1,
    },
    "variants": ["FPN"],
    "schedule": {"iterations": 2, "batch": 2, "lr": 1e-3},
    "probe": {"mode": "routes", "interval": 1, "offline": 1},
}  # fmt: skip


def take_to_the_end(
    root: Path, out: Path, *, report: bool = False, **data: Any
) -> Mapping[str, Any]:
    """Two iterations, prediction, evaluation by both engines, probe, attribution, report.

    Returns:
        the numbers of the evaluation.
    """
    study = loading.validate({**CONTENT, "data": {"root": str(root), **data}})
    result = study_folder.of(study, source=dataset.prepare(study, out=out), out=out)
    result.write()
    code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    cell = result.cell("FPN", 0)
    assert code == worker.DONE, (cell.folder / "log.txt").read_text()[-2000:]
    manifest = json.loads((cell.folder / "manifest.json").read_text())
    assert not manifest.get("holes"), manifest["holes"]
    found = [
        evaluate(result.source.val, cell.folder / "detections.json.gz", engine=engine).metrics
        for engine in ("hotcoco", "pycocotools")
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-12, nan_ok=True)
    probed = probe_offline(
        str(cell.folder), None, data=None, out=out / "probed", split="val", images=1, batch=1,
        size=None, mode="routes", terms="none", bounds=None, seed=0, device="cpu",
    )  # fmt: skip
    assert probed.summary["images"] == 1
    attributed = attribute_run(
        out, images=1, steps=4, **check_words(methods=[], places=[], kind="object")
    )
    assert not attributed.skipped
    if report:
        assert Path(build(out)["html"]).is_file()
    return found[0]
