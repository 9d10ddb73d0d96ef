"""The line after the first iteration, before mmengine's own log begins."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from mmengine.hooks import LoggerHook

from fpnprobe.mm.training.first_iteration import FirstIteration


def make_runner(interval: int | None) -> Any:
    hooks = [] if interval is None else [LoggerHook(interval=interval)]
    return SimpleNamespace(iter=20, max_iters=90, hooks=hooks, logger=Mock())


@pytest.mark.parametrize(
    ("interval", "ending"), [(50, " s; a line of the log every 50"), (1, " s"), (None, " s")]
)
def test_it_is_told_once_with_the_interval_of_the_log(interval: int | None, ending: str) -> None:
    runner, hook = make_runner(interval), FirstIteration()
    for at in (20, 21):
        hook.before_train_iter(runner, batch_idx=at, data_batch=None)
        hook.after_train_iter(runner, batch_idx=at, data_batch=None, outputs={})
    (line,) = (call.args[0] for call in runner.logger.info.call_args_list)
    assert line.startswith("iteration 21 of 90 took ") and line.endswith(ending)
