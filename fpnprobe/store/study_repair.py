"""Reads what can be read of a damaged `study.json`: the rest is left out and named."""

import re
from collections.abc import Mapping
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import stored_buckets
from fpnprobe.store.documents import drop_wrong_types

_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("name", "question", "expected", "command"), str),
    **dict.fromkeys(("variants", "seeds", "buckets", "cells", "imports"), list),
    **dict.fromkeys(("study", "source", "data", "detector", "schedule", "probe"), dict),
    **dict.fromkeys(("evaluation", "resources"), dict),
    "iterations": int,
}


def repair(content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The content with everything left out that has another form than `run-study` writes."""
    plain, wrong = drop_wrong_types(content, _TYPES)
    problems = [f"{key!r} is damaged and left out" for key in wrong]
    entries = {"variants": _is_variant, "seeds": _is_seed, "cells": _is_cell}
    for key, fits in entries.items():
        if plain.get(key):
            plain[key] = [entry for entry in content[key] if fits(entry)]
            if len(plain[key]) < len(content[key]):
                problems.append(f"an entry of {key!r} is damaged and left out")
    evaluation = plain.get("evaluation") or {}
    judged = evaluation.get("iou_type") or "bbox"
    kinds = [judged] if isinstance(judged, str) else judged
    if not isinstance(kinds, list) or not all(kind in ("bbox", "segm") for kind in kinds):
        plain["evaluation"] = {key: evaluation[key] for key in evaluation if key != "iou_type"}
        problems.append("'evaluation.iou_type' is damaged and left out")
    try:
        stored_buckets(plain.get("buckets"))
    except FpnProbeError as error:
        plain.pop("buckets")
        problems.append(f"'buckets' are damaged and left out ({error})")
    return plain, tuple(problems)


def _is_variant(value: Any) -> bool:
    return isinstance(value["name"] if _has_key(value, "name") else value, str)


def _is_cell(value: Any) -> bool:
    if not all(_has_key(value, key) for key in ("variant", "seed", "key")):
        return False
    return (
        isinstance(value["variant"], str)
        and _is_seed(value["seed"])
        and re.fullmatch("[0-9A-Za-z]+", str(value["key"])) is not None
    )


def _has_key(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and key in value


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
