"""The numbers of tiny cells and of AP do not move unless somebody means it.

`FPNPROBE_REGENERATE=1 pytest tests/mm/test_golden_numbers.py` writes the table anew.
"""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fpnprobe.config.schema import Study
from fpnprobe.evaluation import evaluate
from fpnprobe.results_version import METHOD_VERSIONS, RESULTS_VERSION
from fpnprobe.study.runner import exit_codes, worker
from tests.mm.tiny import tiny

GOLDEN = Path(__file__).parents[1] / "golden" / "numbers.json"
REGENERATE = os.environ.get("FPNPROBE_REGENERATE") == "1"
MOVED = (
    "numbers moved. Mend it, or, if the change is meant, bump the narrowest version of "
    "fpnprobe/results_version.py that covers it and run this test with FPNPROBE_REGENERATE=1"
)
# An alpha of 0 is the logarithm of a float32 ratio near 1: 0 or an epsilon, as it rounds.
ALPHA_ROUNDING = 2 * float(np.finfo(np.float32).eps)
VARIANTS = ("DC5", "FPN", "FPN-AuxU", "FPN-CFG2", "FPN-Wide", "FPN~balanced")


def check(name: str, numbers: dict[str, float], *, first: float, later: float = 0.0) -> None:
    """Compare with the stored table, or write it.

    Args:
        name: Of the part of the table.
        numbers: As they are now; a key ends in the iteration.
        first: Relative tolerance at iteration 0.
        later: Relative tolerance after it, where the rounding of a processor has gone through steps
            of AdamW (5e-2 in a small loss term seen between instruction sets).
    """
    table = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if REGENERATE:
        table[name] = {key: float(f"{value:.6g}") for key, value in numbers.items()}
        GOLDEN.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    golden = table[name]
    assert numbers.keys() == golden.keys(), f"{name}: {MOVED}"
    for key, value in golden.items():
        tolerance = later if later and not key.endswith(" 0") else first
        is_zero = key.startswith("alpha ") and abs(value) < ALPHA_ROUNDING
        least = ALPHA_ROUNDING if is_zero else 1e-7
        assert numbers[key] == pytest.approx(value, rel=tolerance, abs=least), f"{key}: {MOVED}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_and_ledger_of_a_tiny_cell(variant: str, tmp_path: Path) -> None:
    """Three steps: further ones would let the rounding of one processor grow."""
    result = tiny(
        tmp_path, variants=[variant], schedule__iterations=3, schedule__warmup=0,
        probe={"mode": "full", "interval": 2},
    )  # fmt: skip
    cell = result.cells[0]
    code = worker.run(result, variant, 0, device="cpu", stop=threading.Event())
    assert code == exit_codes.DONE, (cell.folder / "log.txt").read_text()
    training = pd.read_parquet(cell.folder / "training.parquet")
    losses = {
        f"{row['name']} at {row['iteration']}": row["value"] for _, row in training.iterrows()
    }
    ledger = pd.read_parquet(cell.folder / "ledger.parquet")
    ledger = ledger[(ledger.term == "all") & ledger.tap.isin(["C2", "C5"]) & (ledger.l2 > 1e-6)]
    columns = ["kind", "tap", "route", "bucket", "iteration"]
    norms = {" ".join(map(str, row[:-1])): row[-1] for row in ledger[[*columns, "l2"]].values}
    assert norms
    check(variant, losses | norms, first=5e-4, later=0.1)


def test_ap_of_given_detections() -> None:
    draw = np.random.default_rng(0)
    boxes = np.concatenate([draw.uniform(0, 300, (200, 2)), draw.uniform(8, 150, (200, 2))], axis=1)
    truth = {
        "images": [{"id": i, "width": 480, "height": 480} for i in range(20)],
        "categories": [{"id": 1, "name": "a"}, {"id": 7, "name": "b"}],
        "annotations": [
            {"id": n, "image_id": n % 20, "category_id": (1, 7)[n % 3 == 0], "bbox": box.tolist(),
             "area": float(0.7 * box[2] * box[3]), "iscrowd": int(n % 50 == 0)}
            for n, box in enumerate(boxes)
        ],
    }  # fmt: skip
    noise = draw.normal(0, 0.12, boxes.shape) * boxes[:, [2, 3, 2, 3]]
    found = [
        {"image_id": n % 20, "category_id": (1, 7)[n % 3 == 0], "bbox": box.tolist(),
         "score": float(score)}
        for n, (box, score) in enumerate(zip(boxes + noise, draw.uniform(0, 1, 200), strict=True))
    ]  # fmt: skip
    for engine in ("hotcoco", "pycocotools"):
        numbers = evaluate(truth, found, engine=engine).metrics
        check(f"AP by {engine}", dict(numbers), first=1e-5)


def test_defaults_of_a_study_file() -> None:
    """A default that changes gives other numbers under the same key; a new key is fine."""
    schema = Study.model_json_schema()
    defaults = {
        f"{name}.{key}": field["default"]
        for name, part in schema["$defs"].items()
        for key, field in part.get("properties", {}).items()
        if "default" in field and name != "Resources"
    }
    table = json.loads(GOLDEN.read_text())
    if REGENERATE:
        table["defaults"] = defaults
        GOLDEN.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    moved = {key for key, value in table["defaults"].items() if defaults.get(key, value) != value}
    assert not moved, f"{sorted(moved)}: a default changed, so {MOVED}"
    assert table["defaults"].keys() <= defaults.keys() | {"removed"}, "regenerate the table"


def test_the_table_was_made_for_these_versions() -> None:
    """A table that is written anew without a bump is seen here in review, and only here."""
    table = json.loads(GOLDEN.read_text())
    versions = {"results": RESULTS_VERSION, **METHOD_VERSIONS}
    if REGENERATE:
        table["versions"] = versions
        GOLDEN.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    assert table["versions"] == versions, "run with FPNPROBE_REGENERATE=1 after a bump"
