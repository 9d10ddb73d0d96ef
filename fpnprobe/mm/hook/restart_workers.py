"""Start the workers of a data loader anew, as if they had not started yet."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from fpnprobe.errors import FpnProbeError

_KEPT = (
    "num_workers",
    "collate_fn",
    "pin_memory",
    "timeout",
    "worker_init_fn",
    "multiprocessing_context",
    "generator",
    "prefetch_factor",
    "persistent_workers",
)


def restart_workers(runner: Runner, loop: Any) -> None:
    """Let the loop's worker processes see changes that were made to the dataset.

    Upstream mmengine's `IterBasedTrainLoop` starts workers before any hook runs: they hold an old
    copy of the dataset and have drawn indices from the sampler. Sampler and workers are made anew
    with the same seeds, and the main process' random state is left alone, so the training data
    are those of a run without the probe. Nothing is done where no worker has started.

    Raises:
        FpnProbeError: If workers have started and the runner was given a loader, not its config.
    """
    iterator: Any = getattr(loop, "dataloader_iterator", None)
    old = loop.dataloader
    if getattr(iterator, "_iterator", None) is None or not old.num_workers:
        return
    config = runner._train_dataloader
    if not isinstance(config, Mapping):
        raise FpnProbeError(
            "the data loader's workers started before the probe: give the runner a config of the "
            "data loader instead of a DataLoader, or num_workers=0"
        )
    iterator._iterator = old._iterator = None  # workers stop with their last reference
    random = torch.get_rng_state()
    loop.dataloader = DataLoader(
        old.dataset,
        **_samplers(runner, config, old),
        **{name: getattr(old, name) for name in _KEPT if getattr(old, name, None)},
    )
    loop.dataloader_iterator = type(iterator)(loop.dataloader)
    torch.set_rng_state(random)


def _samplers(runner: Runner, config: Mapping[str, Any], old: Any) -> dict[str, Any]:
    seed = None if runner._randomness_cfg.get("diff_rank_seed", False) else runner.seed
    sampler = DATA_SAMPLERS.build(
        copy.deepcopy(config["sampler"]), default_args={"dataset": old.dataset, "seed": seed}
    )
    if config.get("batch_sampler") is None:
        return {"sampler": sampler, "batch_size": old.batch_size, "drop_last": old.drop_last}
    batches = DATA_SAMPLERS.build(
        copy.deepcopy(config["batch_sampler"]),
        default_args={"sampler": sampler, "batch_size": config["batch_size"]},
    )
    return {"batch_sampler": batches}
