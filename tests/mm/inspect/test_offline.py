"""Mode `offline`: the same images, bit for bit; detector and caller stay as they were."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from typer.testing import CliRunner

from fpnprobe.cli import main
from fpnprobe.data import scenes
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.inspect.offline import probe_offline
from fpnprobe.mm.inspect.open_detector import open_config, open_given
from fpnprobe.mm.inspect.probe_images import probe_images
from fpnprobe.probing import Probe
from fpnprobe.scales import buckets_of_sides
from tests.mm import small


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_scenes(tmp_path_factory.mktemp("data"), images=5)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("config") / "small.py"
    Config({"model": small.model_config("faster_rcnn")}).dump(str(file))
    return str(file)


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As mmengine writes it, with its message hub."""
    folder = tmp_path_factory.mktemp("trained")
    small.train(root, folder, model="faster_rcnn", iterations=2, save_every=2)
    return folder / "iter_2.pth"


def numpy_state() -> list[int]:
    state: Any = np.random.get_state()  # noqa: NPY002 - mmdet draws from it
    found: list[int] = state[1].tolist()
    return found


def run(config: str, checkpoint: Path | None, root: Path, out: Path, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "data": root, "out": out, "split": "train", "images": 5, "batch": 2, "size": None,
        "mode": "full", "terms": "none", "bounds": "12,36", "seed": 0, "device": "cpu",
    }  # fmt: skip
    return probe_offline(config, checkpoint, **options | changes)


def test_twice_is_the_same_to_the_last_bit(
    config: str, checkpoint: Path, root: Path, tmp_path: Path
) -> None:
    states = random.getstate(), numpy_state(), torch.get_rng_state()
    first = run(config, checkpoint, root, tmp_path / "a")
    random.random(), np.random.random(), torch.rand(3)  # noqa: NPY002
    run(config, checkpoint, root, tmp_path / "b")
    for name in ("ledger.parquet", "conflict.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert states[0] != random.getstate()  # only by the line above
    frame = first.ledger.frame
    assert sorted(set(frame.iteration)) == [0, 1, 2]
    assert set(frame.variant) == {"small"}
    assert frame.residual_gradient.max() < 1e-5
    assert first.summary["images"] == 5
    assert first.summary["samples"] == 3
    other = run(config, None, root, tmp_path / "c").ledger.frame
    assert not np.allclose(other.l2, frame.l2)  # the weights do matter


def test_detector_and_random_states_stay_as_they_were(root: Path, config: str) -> None:
    opened = open_config(config, None, data=root, split="train")
    detector = opened.detector
    detector.train()
    detector.neck.eval()
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    drawn = random.getstate(), torch.get_rng_state(), numpy_state()
    probe_images(detector, opened.images, root / "out", count=2)
    assert (random.getstate(), numpy_state()) == (drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), drawn[1])
    small.assert_bit_identical(before, detector.state_dict())
    assert detector.backbone.training
    assert not detector.neck.training
    assert all(p.grad is None for p in detector.parameters())
    assert small.hooks_left(detector) == 0
    assert not torch.are_deterministic_algorithms_enabled()


def test_numbers_are_those_of_the_evaluated_detector(root: Path, config: str) -> None:
    """Twin: the loss of the first batch differentiated without the probe."""
    opened = open_config(config, None, data=root, split="train")
    options: dict[str, Any] = {"count": 2, "seed": 4, "probe": Probe("full")}
    frame = probe_images(opened.detector, opened.images, root / "twin", **options).ledger.frame
    twin, given = opened.detector, [opened.images[i] for i in range(2)]
    batch = {key: [one[key] for one in given] for key in given[0]}
    torch.manual_seed(4)
    np.random.seed(4)  # noqa: NPY002
    data = twin.data_preprocessor(batch, training=True)
    loss, _ = twin.parse_losses(twin(**data, mode="loss"))
    gradients = torch.autograd.grad(loss, list(twin.backbone.layer2.parameters()))
    expected = float(sum(g.double().square().sum() for g in gradients)) ** 0.5
    row = frame.query("tap == 'C3' and kind == 'parameter' and bucket == 'all'")
    assert row.l2.item() == pytest.approx(expected, rel=1e-5)


def test_bad_arguments_are_named(config: str, checkpoint: Path, root: Path, tmp_path: Path) -> None:
    garbage, other, code = (tmp_path / name for name in ("garbage.pth", "other.pth", "code.pth"))
    garbage.write_bytes(b"no checkpoint")
    model = build_detector(small.model_config("retinanet"))
    torch.save({"state_dict": model.state_dict()}, other)
    torch.save({"state_dict": {}, "run": Danger()}, code)
    cases: list[tuple[Path | None, dict[str, Any], str]] = [
        (tmp_path / "gone.pth", {}, "no checkpoint"),
        (garbage, {}, "without running code"),
        (code, {}, "without running code"),
        (other, {}, "weights of another model"),
        (None, {"data": None}, "give --data"),
        (None, {"data": tmp_path / "none"}, "none"),
        (None, {"images": 0}, "at least 1"),
        (None, {"mode": "norms"}, "expected one of routes, full"),
        (None, {"bounds": "a"}, "sides in px"),
        (None, {"bounds": "40,20"}, "expected 0 <= low < high"),
    ]
    for wrong, changes, message in cases:
        with pytest.raises(FpnProbeError, match=message):
            run(config, wrong, root, tmp_path / "out", **changes)
    assert not Danger.ran
    with pytest.raises(FpnProbeError, match="no mmdet config"):
        run("retinanet_r19", None, root, tmp_path / "out")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(FpnProbeError, match="a trained cell with its own"):
        run(str(tmp_path), None, root, tmp_path / "out")


class Danger:
    ran = False

    def __reduce__(self) -> Any:
        return setattr, (Danger, "ran", True)


def test_a_missing_category_is_refused(config: str, root: Path, tmp_path: Path) -> None:
    model = build_detector(small.model_config("faster_rcnn"))
    classes = (*scenes.CLASSES[:-1], "zebra")
    file = tmp_path / "model.pth"
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": classes}}}, file
    )
    with pytest.raises(FpnProbeError, match="no category 'zebra'"):
        run(config, file, root, tmp_path / "out")


@pytest.mark.parametrize(("size", "device"), [(0, "cpu"), (-5, "cpu"), (None, "tpu")])
def test_options_out_of_range_are_refused(root: Path, size: int | None, device: str) -> None:
    with pytest.raises(FpnProbeError, match="expected"):
        open_given("x", None, data=root, split="val", size=size, device=device, seed=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_is_a_problem_of_the_environment(root: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no CUDA device"):
        open_given("x", None, data=root, split="val", size=None, device="cuda", seed=0)


def test_sides_name_buckets() -> None:
    assert [b.name for b in buckets_of_sides("8,16,32")] == ["scale1", "scale2", "scale3", "scale4"]


def test_command_line(config: str, root: Path, tmp_path: Path) -> None:
    main.register()
    words = ["probe", config, "--data", str(root), "--split", "train", "--images", "2", "--mode",
             "routes", "--out", str(tmp_path / "out"), "--bounds", "12,36"]  # fmt: skip
    found = CliRunner().invoke(main.app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout)
    assert summary["mode"] == "offline"
    assert summary["residuals"]["gradient"] < 1e-5
    assert len(Ledger.read(tmp_path / "out")) > 0
    shown = CliRunner().invoke(main.app, words)
    assert "small" in shown.stdout
    assert "2 images in" in shown.stdout


def test_areas_of_boxes(config: str, root: Path, tmp_path: Path) -> None:
    """Data without `area`: refused with the fix, and measured with `area="box"`."""
    bare = tmp_path / "bare"
    (bare / "annotations").mkdir(parents=True)
    (bare / "images").symlink_to(root / "images")
    content = json.loads((root / "annotations" / "train.json").read_text())
    for entry in content["annotations"]:
        del entry["area"]
    (bare / "annotations" / "train.json").write_text(json.dumps(content))
    options: dict[str, Any] = {"images": 1, "batch": 1, "mode": "routes"}
    with pytest.raises(FpnProbeError, match=r"have no 'area' .*--area box"):
        run(config, None, bare, tmp_path / "none", **options)
    found = run(config, None, bare, tmp_path / "out", area="box", **options).ledger.frame
    same = run(config, None, root, tmp_path / "own", area="box", **options).ledger.frame
    np.testing.assert_array_equal(found.l2, same.l2)
