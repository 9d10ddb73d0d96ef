"""What is misspelled is told before anything that takes long to import: torch, mmdet, pandas."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "mmdet", "mmengine", "matplotlib", "pandas", "captum")
CONFIG = "faster-rcnn_r50_fpn_1x_coco"
WRONG = {
    "attribute reports/quickstart --kind typo": "unknown kind 'typo': expected detection",
    "attribute reports/quickstart --at typo": "unknown place 'typo'",
    "attribute reports/quickstart --method typo": "unknown method 'typo'",
    "attribute reports/quickstart --seeds x": "--seeds 'x': expected numbers",
    "attribute reports/quickstart --variants typo": "has no variant typo: expected DC5, FPN",
    "attribute reports/quickstart --device typo": "--device 'typo': expected auto, cpu or cuda",
    "run-study studies/quickstart --seeds x": "--seeds 'x': expected whole numbers",
    "run-study studies/quickstart --seeds 9": "seed 9 is not one of the study's seeds [0]",
    "run-study studies/quickstart --variants FPM": "unknown variant 'FPM': did you mean FPN",
    "run-study studies/quickstart --launcher typo": "--launcher 'typo': expected one of",
    "run-study studies/quickstart --device typo": "--device 'typo'",
    "run-study studies/quickstart --set schedul.lr=1": "did you mean schedule",
    "plan studies/table1 --gpu a1000": "--gpu 'a1000': did you mean a100",
    "bench forecast table1 --gpu a1000": "--gpu 'a1000': did you mean a100",
    "bench training --variant typo": "unknown variant 'typo'",
    "bench training --device typo": "--device 'typo'",
    "bench probe --device typo": "--device 'typo'",
    "bench intervention --config faster_rcn": "no mmdet config 'faster_rcn'",
    "bench neck --device typo": "--device 'typo'",
    "compare reports/quickstart --a DC5 --b FPM": "unknown variant 'FPM': did you mean FPN",
    "compare reports/nowhere reports/quickstart": "reports/nowhere does not exist",
    "evaluate nowhere.json nowhere.json": "there is no file nowhere.json",
    "report reports/nowhere": "there is no folder reports/nowhere",
    f"probe {CONFIG}": "give --data",
    f"probe {CONFIG} --data reports --mode typo": "mode 'typo': expected one of routes, full",
    f"probe {CONFIG} --data reports --terms typo": "terms 'typo': expected one of none, loss",
    f"probe {CONFIG} --data reports --bounds typo": "bounds 'typo': expected sides in px",
    f"probe {CONFIG} --data reports --device typo": "--device 'typo'",
    "check": "nothing to check",
}
# each command line in one process, one after the other: what one has imported stays imported
SCRIPT = f"""
import contextlib, importlib, io, json, sys
from fpnprobe.cli import main
for line in json.loads(sys.stdin.read()):
    sys.argv = ["fpnprobe", *line.split()]
    told, code = io.StringIO(), None
    importlib.reload(main)
    with contextlib.redirect_stderr(told):
        try:
            main.entry()
        except SystemExit as end:
            code = end.code
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    print(json.dumps([line, code, told.getvalue(), heavy]))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, str, list[str]]]:
    """Exit code, stderr and heavy modules of each command line."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(WRONG)),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {line: (code, message, heavy) for line, code, message, heavy in rows}


@pytest.mark.parametrize("line", WRONG)
def test_it_is_told_at_once(line: str, told: dict[str, tuple[int, str, list[str]]]) -> None:
    code, message, heavy = told[line]
    assert code == 2
    assert message.startswith("error: ") and message.count("\n") == 1
    assert WRONG[line] in message
    assert heavy == []
