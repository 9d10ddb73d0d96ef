"""Take a data folder that the check accepts through every later step, in this process."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.attribution.words import check_words
from fpnprobe.config import loading
from fpnprobe.evaluation import evaluate
from fpnprobe.mm.inspect.attribution.study import attribute_run
from fpnprobe.mm.inspect.offline import probe_offline
from fpnprobe.report import build
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.runner import exit_codes, worker

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


_BOX_HEAD = {"in_channels": 16, "fc_out_channels": 16}
_MASK_HEAD = {"in_channels": 16, "conv_out_channels": 16, "num_convs": 1}
MASKED: dict[str, Any] = {  # a detector of masks as small as that of boxes
    "detector": {
        "config": "mask-rcnn_r50_fpn_1x_coco",
        "weights": None,
        "frozen_stages": -1,
        "overrides": {
            "backbone": {"depth": 18, "base_channels": 8, "stem_channels": 8},
            "neck": {"in_channels": [8, 16, 32, 64], "out_channels": 16},
            "rpn_head": {"in_channels": 16, "feat_channels": 16},
            "roi_head": {
                "bbox_roi_extractor": {"out_channels": 16},
                "mask_roi_extractor": {"out_channels": 16},
                "bbox_head": _BOX_HEAD,
                "mask_head": _MASK_HEAD,
            },
            "train_cfg": {"rpn_proposal": {"max_per_img": 32}, "rcnn": {"sampler": {"num": 16}}},
            "test_cfg": {"rpn": {"max_per_img": 16}},
        },
    },
    "evaluation": {"iou_type": ["bbox", "segm"]},
}


def take_to_the_end(
    root: Path, out: Path, *, report: bool = False, masks: bool = False, **data: Any
) -> Mapping[str, Any]:
    """Two iterations, prediction, evaluation by both engines, probe, attribution, report.

    Args:
        root: The data folder.
        out: The study's folder, new.
        report: Whether the report is built; it takes longer than all before it.
        masks: Whether the detector finds masks, and is judged by boxes and by masks.
        **data: Further keys of the study's data.

    Returns:
        The numbers of the evaluation by boxes.
    """
    content = {**CONTENT, **(MASKED if masks else {})}
    study = loading.validate({**content, "data": {"root": str(root), "size": 64, **data}})
    result = study_folder.of(study, source=dataset.prepare(study, out=out), out=out)
    result.write()
    code = worker.run(result, "FPN", 0, device="cpu", stop=threading.Event())
    cell = result.cell("FPN", 0)
    assert code == exit_codes.DONE, (cell.folder / "log.txt").read_text()[-2000:]
    manifest = json.loads((cell.folder / "manifest.json").read_text())
    assert not manifest.get("holes"), manifest["holes"]
    found: dict[str, Mapping[str, Any]] = {}
    for kind in study.evaluation.iou_types:
        found[kind], oracle = [
            evaluate(
                result.source.val, cell.folder / "detections.json.gz", iou_type=kind, engine=engine
            ).metrics
            for engine in ("hotcoco", "pycocotools")
        ]
        assert found[kind] == pytest.approx(oracle, abs=1e-12, nan_ok=True)
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
    return found["bbox"]
