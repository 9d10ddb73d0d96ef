"""The examples of `fpnprobe.probing.watch` run as they stand there, on two images."""

import functools
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import fpnprobe
from fpnprobe.probing import watch as room
from tests.unit.probing.provenance.libraries import batch

LIBRARIES = ("torchvision", "transformers", "ultralytics")


def example(library: str) -> str:
    """The indented code after the paragraph that begins with the library's name."""
    text = room.__doc__ or ""
    pattern = rf"^{library}, [\s\S]*?:\n\n((?:    .*\n|\n)+)"
    block = re.search(pattern, text, re.MULTILINE)
    assert block is not None
    return textwrap.dedent(block[1]).replace("budget=0.02, ", "")  # a budget skips so few steps


def names_of(library: str) -> dict[str, Any]:
    """What the example takes from its surroundings."""
    if library == "torchvision":
        import torchvision

        targets = [
            {"boxes": boxes, "labels": labels}
            for boxes, labels in zip(batch.BOXES, batch.LABELS, strict=True)
        ]
        real = torchvision.models.detection.retinanet_resnet50_fpn
        small = functools.partial(real, min_size=64, max_size=64)  # it would resize to 800 px
        detection = SimpleNamespace(retinanet_resnet50_fpn=small)
        stub = SimpleNamespace(models=SimpleNamespace(detection=detection))
        return {"torchvision": stub, "loader": [(batch.images(), targets, batch.AREAS)]}
    if library == "transformers":
        library_module = pytest.importorskip("transformers")
        from tests.unit.probing.provenance.libraries import test_transformers as tiny

        labels = [
            {"class_labels": classes - 1, "boxes": boxes}
            for classes, boxes in zip(batch.LABELS, batch.scaled_boxes(), strict=True)
        ]
        config = tiny.CONFIGS["RTDetr"]()
        loader = [(torch.stack(batch.images()), labels, batch.AREAS)]
        return {"transformers": library_module, "config": config, "loader": loader}
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    from tests.unit.probing.provenance.libraries import test_ultralytics as tiny_yolo

    return {
        "DetectionModel": tasks.DetectionModel,
        "get_cfg": tiny_yolo.settings.get_cfg,
        "loader": [(tiny_yolo.batch(), batch.AREAS)],
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_example_of_a_library_leaves_a_run(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = names_of(library)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(example(library), library, "exec"), {"fpnprobe": fpnprobe, **names})
    (folder,) = (tmp_path / "runs").iterdir()
    frame = fpnprobe.Ledger.read(folder).frame
    assert set(frame.state) <= {"measured"}
    assert frame.residual_gradient.max() < 1e-5
    shares = frame[(frame.kind == "activation") & (frame.route == "total")].groupby("tap").share
    assert shares.sum().round(6).eq(1).all()
    (cell,) = fpnprobe.open(folder).cells
    assert (cell.variant, cell.state) == (folder.name, "done")
