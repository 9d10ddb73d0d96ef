"""The law whole, on mutated good files: what the check accepts goes to its report, or is refused.

Half of the mutations are of any kind, half of kinds that the field mostly uses, or few would get
beyond the check. A refusal is one line with exit code 2. An accepted folder is read in every way,
and a study of two iterations on it ends in a report: both engines, an offline probe and an
attribution on the way. Every second study is of masks, where the check says that every object has
one.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.data import coco
from tests.mm.studies.law import take_to_the_end
from tests.unit.data import mutations
from tests.unit.data.law import hold_to_the_law
from tests.unit.data.mutations import RELAXED, Changes, some_changes, usable_changes

pytestmark = pytest.mark.filterwarnings(  # pycocotools decodes masks the old way
    "ignore:__array__ implementation:DeprecationWarning"
)

EXAMPLES = 500


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    mutations.write_pictures(folder)
    return folder


def hold_to_the_whole_law(root: Path, mutated: Changes, *, both: bool, masks: bool) -> str:
    """What became of a mutated folder: "refused", or the study that it went through."""
    splits = hold_to_the_law(root, mutated, both=both)
    if splits is None:
        return "refused"
    masks = masks and all(coco.summarize(split).masks for split in splits)
    out = root.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    take_to_the_end(root, out, report=True, masks=masks)
    odd = "as it is" if not any(split.notices for split in splits) else "with a warning"
    return f"accepted {odd}, {'masks' if masks else 'boxes'}"


@pytest.mark.parametrize("masks", [False, True], ids=["boxes", "masks"])
def test_the_good_file_goes_to_the_report(
    root: Path, masks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(root / "cache"))
    assert not hold_to_the_whole_law(root, [], both=True, masks=masks).startswith("refused")


def test_folders_that_once_broke_the_law(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No object in the first image, and so few that no share is known: found by the test below."""
    monkeypatch.setenv("FPNPROBE_CACHE", str(root / "cache"))
    drop = mutations._drop("annotations", 0)
    few = [drop, drop, mutations._set("annotations", 0, "ignore", 0), drop]
    assert hold_to_the_whole_law(root, few, both=True, masks=False).startswith("accepted")


@pytest.mark.slow
def test_every_mutation_goes_to_the_report_or_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(root / "cache"))
    outcomes: Counter[str] = Counter()

    for strategy in (some_changes, usable_changes()):

        @settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=RELAXED)
        @given(strategy, st.booleans(), st.booleans())
        def hold(mutated: Changes, both: bool, masks: bool) -> None:
            outcomes[hold_to_the_whole_law(root, mutated, both=both, masks=masks)] += 1

        hold()
    print(dict(outcomes))
    assert outcomes["refused"] >= EXAMPLES / 5
    assert outcomes.total() - outcomes["refused"] >= EXAMPLES / 5
