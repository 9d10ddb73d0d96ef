"""Two processes write the ledger that one process writes for the same global batch."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fpnprobe.ledger import Ledger
from fpnprobe.mm.detectors import build_detector
from tests.mm import small

KINDS: dict[str, dict[str, bool]] = {
    "default": {},
    "unused": {"find_unused_parameters": True},
    "static": {"static_graph": True},
}
# mmdet's FCOS calls meshgrid in the old way
pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")
PIPELINE = [one for one in small.PIPELINE if one["type"] != "RandomFlip"]
WRAPPER = {"type": "OptimWrapper", "optimizer": small.SGD, "clip_grad": {"max_norm": 1.0}}


def run(root: Path, folder: Path, name: str, *, mode: str, kind: dict[str, bool] | None) -> Any:
    """FCOS normalizes by the positives of all processes, so its loss is that of the global batch.

    Batch normalization keeps its statistics: those of half a batch would be others.
    """
    model: Any = build_detector(small.model_config("fcos", norm_eval=True), seed=1)
    processes = 1
    if kind is not None:
        from mmengine.model import MMDistributedDataParallel

        model, processes = MMDistributedDataParallel(model, broadcast_buffers=False, **kind), 2
    out = folder / name
    hooks = [] if mode == "none" else [small.hook(out, mode=mode, interval=1, audit=2)]
    return small.train(
        root,
        folder / f"work-{name}",
        model=model,
        iterations=3,
        batch=4 // processes,
        hooks=hooks,
        optim_wrapper={**WRAPPER, "accumulative_counts": 3 if mode == "norms" else 1},
        pipeline=PIPELINE,
    )


def work(rank: int, root: Path, folder: Path) -> None:
    """One of two processes: each kind of wrapper with the probe on and off."""
    import warnings

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    store = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        for name, kind in KINDS.items():
            off = small.weights(run(root, folder, f"{name}-off", mode="none", kind=kind))
            runner = run(root, folder, name, mode="full", kind=kind)
            small.assert_bit_identical(small.weights(runner), off)
            small.assert_nothing_left(runner)
        runner = run(root, folder, "norms", mode="norms", kind={})
        assert next(h for h in runner.hooks if hasattr(h, "summary")).summary()["samples"] == 1
    finally:
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ledgers of one process and of two."""
    folder = tmp_path_factory.mktemp("ddp")
    root = small.make_scenes(folder)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.mm.small"])
    processes = [context.Process(target=work, args=(rank, root, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    run(root, folder, "single", mode="full", kind=None)
    run(root, folder, "single-norms", mode="norms", kind=None)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


KEY = ["iteration", "tap", "kind", "route", "bucket", "term"]


def table(folder: Path, name: str) -> pd.DataFrame:
    return Ledger.read(folder / name).frame.sort_values(KEY, ignore_index=True)


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_write_the_ledger_of_the_global_batch(folder: Path, name: str) -> None:
    one, two = table(folder, "single"), table(folder, name)
    same = [*KEY, "n_objects", "n_rows", "state", "epoch"]
    pd.testing.assert_frame_equal(one[same], two[same])
    assert two.residual_loss.max() < 1e-5
    assert two.residual_gradient.max() < 1e-5
    assert two.residual_routes.max() < 1e-5
    # The bucket that is derived where nothing audits it has the rounding of the whole gradient.
    rounding = 2**-22 * one.groupby(KEY[:4]).l2.transform("max")
    rounding[one.residual_gradient.notna()] = 0.0
    assert (np.abs(two.l2 - one.l2) <= 1e-5 * one.l2 + rounding).all()


@pytest.mark.parametrize("name", KINDS)
def test_so_are_the_cosines(folder: Path, name: str) -> None:
    one, two = (Ledger.read(folder / n).conflict for n in ("single", name))
    key = ["iteration", "tap", "kind", "bucket_a", "bucket_b"]
    joined = one.merge(two, on=key, suffixes=("_one", "_two"))
    assert len(joined) == len(one) == len(two) > 0
    audited = joined[joined.iteration != 1]
    np.testing.assert_allclose(audited.cosine_one, audited.cosine_two, atol=1e-5)


def test_norms_are_those_of_the_reduced_gradient(folder: Path) -> None:
    one, two = table(folder, "single-norms"), table(folder, "norms")
    assert list(one.iteration.unique()) == list(two.iteration.unique()) == [2]
    np.testing.assert_allclose(two.l2, one.l2, rtol=1e-5)
