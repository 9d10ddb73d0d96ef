"""Bad studies, data, folders and options: one line, the right exit code, nothing written."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fpnprobe.cli import main

STUDY: dict[str, Any] = {
    "name": "bad",
    "question": "What is wrong?",
    "detector": {"width": 8},
    "variants": ["DC5", "FPN"],
    "seeds": [0],
    "data": {"root": "data"},
    "schedule": {"iterations": 2},
}


def write_study(content: dict[str, Any]) -> None:
    lines = [f"{key} = {value!r}" for key, value in content.items()]
    Path("study.py").write_text("\n".join(lines) + "\n")


def coco(**changes: Any) -> dict[str, Any]:
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400}
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [box | {"iscrowd": 0}],
        "categories": [{"id": 1, "name": "ring"}],
    }
    return content | changes


def write_data(train: dict[str, Any] | None = None) -> None:
    Path("data/images").mkdir(parents=True)
    Path("data/annotations").mkdir()
    cv2.imwrite("data/images/a.png", np.zeros((48, 64, 3), np.uint8))
    for split in ("train", "val"):
        content = coco() if train is None else train
        Path(f"data/annotations/{split}.json").write_text(json.dumps(content))


def annotation(**changes: Any) -> Callable[[], None]:
    def act() -> None:
        content = coco()
        content["annotations"][0] |= changes
        write_data(content)

    return act


def study(**changes: Any) -> Callable[[], None]:
    def act() -> None:
        write_data()
        write_study({key: v for key, v in (STUDY | changes).items() if v is not ...})

    return act


def text(content: str | bytes) -> Callable[[], None]:
    def act() -> None:
        Path("study.py").write_bytes(content if isinstance(content, bytes) else content.encode())

    return act


def after_data(change: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        write_data()
        change()

    return act


def images(*names: str) -> Callable[[], None]:
    entries = [
        {"id": number, "file_name": name, "width": 64, "height": 48}
        for number, name in enumerate(names, start=1)
    ]
    return lambda: write_data(coco(images=entries))


def symlink_loop() -> None:
    write_data()
    Path("data/images/a.png").unlink()
    Path("data/images/a.png").symlink_to("b.png")
    Path("data/images/b.png").symlink_to("a.png")


def image_folder() -> None:
    write_data()
    Path("data/images/a.png").unlink()
    Path("data/images/a.png").mkdir()


def split_folder() -> None:
    """As unreadable as a file without permissions, for every user."""
    write_data()
    Path("data/annotations/train.json").unlink()
    Path("data/annotations/train.json").mkdir()


CUT = {"stages": "C2..C4", "route": "direct", "gain": 0.0}


def intervention(**changes: Any) -> Callable[[], None]:
    return study(variants=[{"name": "a", "build": "FPN", "intervention": [CUT | changes]}])


def cut(path: str) -> Callable[[], None]:
    def act() -> None:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])

    return after_data(act)


def nothing() -> None:
    pass


SET = "--set"
CASES: dict[str, tuple[Callable[[], None], list[str], int, str]] = {
    # studies
    "no study": (lambda: Path("study.py").unlink(), [], 2, "no study"),
    "syntax error": (text("name = = 3"), [], 2, "study.py:1: not valid Python"),
    "not text": (text(b"\x00\x01\xff"), [], 2, "study.py"),
    "raises": (text("1 / 0"), [], 2, "ZeroDivisionError"),
    "exits": (text("import sys; sys.exit(0)"), [], 2, "SystemExit"),
    "endless base": (text("_base_ = 'study.py'"), [], 2, "_base_"),
    "base missing": (text("_base_ = '../none/study.py'"), [], 2, "no study"),
    "unknown key": (study(variant=["FPN"]), [], 2, "did you mean variants"),
    "unknown inner key": (study(schedule={"iteration": 3}), [], 2, "schedule.iteration"),
    "missing key": (study(question=...), [], 2, "question is missing"),
    "wrong type": (study(schedule={"iterations": "many"}), [], 2, "schedule.iterations"),
    "duplicate variant": (study(variants=["FPN", "FPN"]), [], 2, "given twice"),
    "same folder": (study(variants=[{"name": "FPN"}, {"name": "fpn", "build": "FPN"}]), [], 2,
                    "given twice"),
    "unknown variant": (study(variants=["FPM"]), [], 2, "did you mean FPN"),
    "no variants": (study(variants=[]), [], 2, "variants"),
    "empty seeds": (study(seeds=[]), [], 2, "seeds"),
    "duplicate seeds": (study(seeds=[1, 1]), [], 2, "distinct"),
    "name as path": (study(name="../escape"), [], 2, "name"),
    "iterations and epochs": (study(schedule={"iterations": 1, "epochs": 1}), [], 2, "exactly one"),
    "odd accumulation": (study(schedule={"iterations": 1, "accumulate": 3}), [], 2, "multiple"),
    "bucket gap": (study(buckets=[["a", 0, 5], ["b", 6, None]]), [], 2, "starts at 6"),
    "bucket not closed": (study(buckets=[["a", 0, 5]]), [], 2, "expected inf"),
    "no data source": (study(data={}), [], 2, "data.root"),
    "unknown intervention": (study(variants=["FPN~cut-drect"]), [], 2, "did you mean cut-direct"),
    "gain of a number as stages": (intervention(stages=2), [], 2, "C2..C5"),
    "negative gain": (intervention(gain=-1), [], 2, "finite number >= 0"),
    "negative workers": (study(schedule={"iterations": 2, "workers": -1}), [], 2,
                         "schedule.workers"),
    # values that pydantic would take and no training could use
    **{f"{key}={value}": (write_data, [SET, f"{key}={value}"], 2, key.split(".")[-1])
       for key, value in (
        ("data.size", 0), ("data.size", -5), ("data.size", "1e9"), ("data.size", "[64,0]"),
        ("schedule.lr", "Infinity"), ("schedule.lr", "1e400"), ("schedule.clip", "Infinity"),
        ("schedule.steps", "[NaN]"), ("schedule.steps", "[-1]"), ("seeds", 99999999999999999999),
        ("seeds", 2**32), ("resources.threads", 100000), ("resources.jobs", "Infinity"),
        ("schedule.iterations", 99999999999999999999), ("schedule.iterations", "True"),
        ("schedule.epochs", "NaN"), ("data.limits.classes", 0), ("schedule.batch", "false"),
        ("probe.interval", 10**30), ("schedule.warmup", 10**30), ("schedule.weight_decay", "NaN"),
    )},
    "bucket of text": (write_data, [SET, 'buckets=[["a","0",null]]'], 2, "expected a number"),
    "bucket of nothing": (write_data, [SET, "buckets=3"], 2, "expected a list"),
    "presets": (study(presets=3), [], 2, "expected a dictionary"),
    "generator exit": (text("raise GeneratorExit"), [], 2, "GeneratorExit"),
    "null byte": (text(b"\x00"), [], 2, "study.py: not valid Python"),
    "misspelt section": (study(shedule={"iterations": 1}), [], 2, "did you mean schedule "),
    "misspelt scenes": (write_data, [SET, "data.scenes.trainn=1"], 2, "did you mean train"),
    "variant with more": (write_data, [SET, "variants='FPN;rm -rf'"], 2, "did you mean FPN?"),
    "set of dots": (write_data, [SET, "a..b=3"], 2, "no such key"),
    "set of a dot": (write_data, [SET, ".=3"], 2, "no such key"),
    "long variant": (study(variants=["x" * 300]), [], 2, "200"),
    # options
    "set without value": (write_data, [SET, "seeds"], 2, "key=value"),
    "set unknown key": (write_data, [SET, "schedule.iters=3"], 2, "schedule.iterations"),
    "set wrong type": (write_data, [SET, "schedule.batch=x"], 2, "schedule.batch"),
    "set of a deep key": (write_data, [SET, "seeds.a=1"], 2, "no such key"),
    "preset": (write_data, [SET, "preset=full"], 2, "no preset"),
    "variants option": (write_data, ["--variants", "DC6"], 2, "did you mean DC5"),
    "seeds that name none": (write_data, ["--seeds", ","], 2, "names none"),
    "variants that name none": (write_data, ["--variants", ","], 2, "names none"),
    "seeds option": (write_data, ["--seeds", "a"], 2, "whole numbers"),
    "seed not in study": (write_data, ["--seeds", "7"], 2, "seeds"),
    "launcher": (write_data, ["--launcher", "ray"], 2, "none, pytorch, slurm"),
    "processes": (write_data, ["--launcher", "pytorch", "--nproc", "3"], 2, "multiple of nproc"),
    "processes without launcher": (write_data, ["--nproc", "2"], 2, "--launcher pytorch"),
    "no cluster": (write_data, ["--launcher", "slurm"], 3, "srun"),
    "device": (write_data, ["--device", "tpu"], 2, "cpu or cuda"),
    "manifest": (nothing, ["--from-manifest", "study.py"], 2, "either"),
    # data
    "no data folder": (nothing, [], 2, "no data folder"),
    "no images folder": (lambda: Path("data").mkdir(), [], 2, "images/"),
    "no split": (after_data(lambda: Path("data/annotations/val.json").unlink()), [], 2, "val.json"),
    "split is a folder": (split_folder, [], 2, "train.json"),
    "cut annotations": (cut("data/annotations/train.json"), [], 2, "cut off"),
    "not COCO": (after_data(lambda: Path("data/annotations/train.json").write_text("[1]")), [], 2,
                 "COCO"),
    "NaN box": (annotation(bbox=[float("nan"), 1, 2, 2]), [], 2, "train.json"),
    "negative box": (annotation(bbox=[1, 1, -5, 2]), [], 2, "train.json"),
    "box of no area": (annotation(bbox=[1, 1, 0, 2]), [], 2, "train.json"),
    "box as text": (annotation(bbox="1 1 2 2"), [], 2, "train.json"),
    "area NaN": (annotation(area=float("nan")), [], 2, "train.json"),
    "no such image": (annotation(image_id=9), [], 2, "no image"),
    "no such category": (annotation(category_id=9), [], 2, "no category"),
    "no iscrowd": (lambda: write_data(coco(annotations=[{"id": 1}])), [], 2, "image_id"),
    "duplicate ids": (lambda: write_data(coco(images=coco()["images"] * 2)), [], 2, "repeat an id"),
    "no objects": (lambda: write_data(coco(annotations=[])), [], 2, "no object"),
    "no images": (lambda: write_data(coco(images=[], annotations=[])), [], 2, "no image"),
    "image missing": (after_data(lambda: Path("data/images/a.png").unlink()), [], 2, "a.png"),
    "image of zero bytes": (after_data(lambda: Path("data/images/a.png").write_bytes(b"")), [], 2,
                            "a.png"),
    "image cut": (cut("data/images/a.png"), [], 2, "a.png"),
    "image is text": (after_data(lambda: Path("data/images/a.png").write_text("x" * 500)), [], 2,
                      "a.png"),
    "image is a folder": (image_folder, [], 2, "a.png"),
    "path traversal": (images("../images/a.png"), [], 2, "folder of the images"),
    "absolute path": (images("/etc/hostname"), [], 2, "folder of the images"),
    "file name as number": (lambda: write_data(coco(images=[
        {"id": 1, "file_name": 7, "width": 64, "height": 48}])), [], 2, "file_name"),
    "image of no size": (lambda: write_data(coco(images=[
        {"id": 1, "file_name": "a.png", "width": 0, "height": 48}])), [], 2, "width"),
    "symlink loop": (symlink_loop, [], 2, "a.png"),
    "class not in data": (write_data, [SET, "data.limits.classes=zebra"], 2, "zebra"),
    # folders
    "output is a file": (after_data(lambda: Path("out").write_text("mine")), [], 2, "out"),
    "output below a file": (after_data(lambda: Path("out").write_text("mine")),
                            ["--out", "out/deeper"], 2, "out"),
    "output not writable": (write_data, ["--out", "/proc/nowhere"], 2, "--out"),
}  # fmt: skip


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["fpnprobe", *arguments])
    try:
        main.entry()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder with its content."""
    found: dict[str, bytes | None] = {}
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(parent, name)
            readable = path.is_file() and not path.is_symlink()
            found[str(path.relative_to(folder))] = path.read_bytes() if readable else None
    return found


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_written(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path.parent / "cache"))
    write_study(STUDY)
    prepare, options, code, hint = CASES[name]
    prepare()
    before = tree(tmp_path)
    out = [] if "--out" in options else ["--out", "out"]
    assert run(["run-study", "study.py", *out, *options], monkeypatch) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(errors) == 1, errors
    assert errors[0].startswith("error: ")
    assert hint in errors[0]
    after = {path: content for path, content in tree(tmp_path).items() if path != "out"}
    assert after == {path: content for path, content in before.items() if path != "out"}
    assert before.get("out") == tree(tmp_path).get("out")


def test_there_are_more_than_forty_cases() -> None:
    assert len(CASES) > 60


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read and write everything")
def test_unreadable_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(STUDY)
    write_data()
    Path("data/images/a.png").chmod(0)
    assert run(["run-study", "study.py", "--out", "out"], monkeypatch) == 2


def test_cuda_asked_for_and_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write_study(STUDY)
    write_data()
    assert run(["run-study", "study.py", "--out", "out", "--device", "cuda"], monkeypatch) == 3
    assert "no CUDA device" in capsys.readouterr().err
