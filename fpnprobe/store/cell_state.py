"""The state of a cell, by the one rule that `fpnprobe.store.cell` prints as a table."""

import enum
from collections.abc import Mapping
from typing import Any

NOT_ASKED_FOR = "not asked for"
"""Why a cell is pending that the last `run-study` left out by --variants or --seeds."""


class State(enum.StrEnum):
    """The state of a cell, seen from outside."""

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DONE = "done"
    STALE = "stale"
    DAMAGED = "damaged"


def judge_state(manifest: Mapping[str, Any], problem: str, key: str | None) -> tuple[State, str]:
    """Return the state that a manifest tells, and why; the cell's lock was asked before.

    Args:
        manifest: Content of `manifest.json`, empty where there is none.
        problem: What is wrong with the manifest, "" if nothing.
        key: The key that the study asks for, "" if it has no such cell, None if unknown.
    """
    if problem:
        return State.DAMAGED, problem
    if not manifest:
        return State.PENDING, "never started"
    if key == "":
        return State.STALE, "not a cell of the study any more"
    if key is not None and manifest.get("key") != key:
        return State.STALE, "of other settings than the study's"
    stored = manifest.get("state")
    reason = " ".join(str(manifest.get("reason") or "").split())
    return State(stored) if stored in ("done", "failed") else State.INTERRUPTED, reason
