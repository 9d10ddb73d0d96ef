"""`fpnprobe.watch` in two processes on gloo: the ledger of the global batch, or a refusal."""

import multiprocessing
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import fpnprobe
from fpnprobe.errors import FpnProbeError
from fpnprobe.ledger import Ledger
from fpnprobe.probing.passes import distributed
from fpnprobe.testing import ToyPyramid, assert_no_hooks_left

KEY = ["iteration", "tap", "kind", "route", "bucket", "term"]
KINDS: dict[str, dict[str, Any]] = {"plain": {}, "unused": {"find_unused_parameters": True}}


class RowLosses(nn.Module):
    """Makes the rows of the loss in its forward pass, as DDP wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ToyPyramid()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.body.rows(self.body.pyramid(self.body.stages(images)))).sum(0)


def train(model: nn.Module, *, first: int, count: int, **options: Any) -> dict[str, torch.Tensor]:
    """Train two steps on images `first`, ... of a batch of 8; return the weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    labels = (torch.arange(8) % 4)[first : first + count]
    watching: Any = fpnprobe.watch(model, mode="full", **options) if options else nullcontext()
    with watching as probe:
        for _ in range(2):
            images = torch.randn(8, 3, 16, 16, dtype=torch.float64, generator=generator)
            rows = model(images[first : first + count])
            loss = rows.mean()
            if probe is not None:
                probe.measure(loss, rows=rows, labels=labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert_no_hooks_left(getattr(model, "module", model))
    return {name: value.clone() for name, value in model.state_dict().items()}


def make() -> RowLosses:
    torch.manual_seed(0)
    return RowLosses()


def work(rank: int, folder: Path) -> None:
    """One of two processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    try:
        for name, options in KINDS.items():
            measured = train(
                DistributedDataParallel(make(), **options),
                first=4 * rank, count=4, out_dir=folder / name,
            )  # fmt: skip
            plain = DistributedDataParallel(make(), **options)
            alone = train(plain, first=4 * rank, count=4)  # nothing measured
            assert all(torch.equal(value, alone[key]) for key, value in measured.items())
        own = train(
            DistributedDataParallel(make()),
            first=4 * rank, count=4, out_dir=folder / f"own-{rank}", batch="own",
        )  # fmt: skip
        assert all(torch.equal(value, alone[key]) for key, value in own.items())
        check_refusals(rank)
    finally:
        torch.distributed.destroy_process_group()


def check_refusals(rank: int) -> None:
    """FSDP in both forms, a static graph, and a process that stays away."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (2,))
    sharded = ToyPyramid().float()
    fully_shard(sharded, mesh=mesh)
    static = DistributedDataParallel(make(), static_graph=True)
    for model, words in ((sharded, "sharded"), (static, "static_graph")):
        with pytest.raises(FpnProbeError, match=words), fpnprobe.watch(model):
            pass
    if rank == 0:
        distributed._PATIENCE_S = 1.0
        with (
            pytest.raises(FpnProbeError, match="process 1 of 2 did not enter"),
            fpnprobe.watch(make()),
        ):
            pass
    torch.distributed.barrier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fpnprobe.testing"])
    processes = [context.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    train(make(), first=0, count=8, out_dir=folder / "single")
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_write_the_ledger_of_the_global_batch(folder: Path, name: str) -> None:
    one, two = (
        Ledger.read(folder / each).frame.sort_values(KEY, ignore_index=True)
        for each in ("single", name)
    )
    assert one[[*KEY, "n_rows", "state"]].equals(two[[*KEY, "n_rows", "state"]])
    np.testing.assert_allclose(two.l2, one.l2, rtol=1e-9, atol=1e-15)
    assert two.residual_gradient.max() < 1e-10


def test_a_process_may_measure_its_own_part(folder: Path) -> None:
    first, second = (Ledger.read(folder / f"own-{rank}").frame for rank in range(2))
    assert set(first.state) == set(second.state) == {"measured"}
    assert not np.allclose(first.l2, second.l2)


def test_sharded_parameters_are_known_by_their_class() -> None:
    class FullyShardedDataParallel(nn.Linear):
        """As torch's first FSDP is called, which runs on accelerators alone."""

    with (
        pytest.raises(FpnProbeError, match="sharded"),
        fpnprobe.watch(nn.Sequential(FullyShardedDataParallel(2, 2))),
    ):
        pass
