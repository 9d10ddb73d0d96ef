"""A key changes with everything that changes a result, and with nothing else."""

from typing import Any

import pytest

from fpnprobe.study import keys, loading
from fpnprobe.study.spec import Study
from tests.unit.study.conftest import content
from tests.unit.test_layout import PACKAGE, imports


def key(data: str = "abc", code: str = "1", seed: int = 0, **changes: Any) -> str:
    study: Study = loading.validate(content(**changes))
    return keys.cell_key(study, "FPN", seed, data_hash=data, code=code)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "other"},
        {"code": "2"},
        {"seed": 1},
        {"schedule": {"iterations": 11}},
        {"schedule": {"iterations": 10, "amp": "bf16"}},
        {"detector": {"width": 8}},
        {"buckets": [["a", 0, 5], ["b", 5, None]]},
        {"probe": {"interval": 7}},
        {"variants": [{"name": "FPN", "options": {"a": 1}}]},
        {"name": "another"},
    ],
)
def test_what_changes_a_result(changes: dict[str, Any]) -> None:
    if "data" in changes:
        assert key(data="other") != key()
    else:
        assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "another"},
        {"expected": "something"},
        {"resources": {"jobs": 7, "checkpoint_seconds": 1}},
        {"schedule": {"iterations": 10, "workers": 3}},
        {"seeds": [0, 1, 2]},
        {"variants": ["FPN"]},
    ],
)
def test_what_does_not(changes: dict[str, Any]) -> None:
    assert key(**changes) == key()


def test_the_place_of_the_data_does_not_count() -> None:
    first = loading.validate(content())
    second = loading.validate(content(data={"root": "/elsewhere"}))
    found = {keys.cell_key(each, "FPN", 0, data_hash="h", code="c") for each in (first, second)}
    assert len(found) == 1


def test_code_counts_and_comments_do_not() -> None:
    source = 'def f(x):\n    """Doc."""\n    return x + 1  # why\n'
    same = 'def f(x):\n    """Another."""\n\n    return (x + 1)\n'
    assert keys._essence(source) == keys._essence(same)
    assert keys._essence(source) != keys._essence(source.replace("+ 1", "+ 2"))
    assert keys.code_version().startswith("0.")


def test_differences_name_keys_that_were_added_and_removed() -> None:
    assert keys.difference({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == [
        "a: 1 -> None",
        "b.c: 2 -> 3",
        "d: None -> 4",
    ]


def test_of_the_evaluation_all_that_gives_a_cell_its_ap_counts_and_no_evidence() -> None:
    needed, new = set(), {"fpnprobe.evaluation.evaluation"}
    while new:
        needed |= new
        files = [PACKAGE.parent / f"{name.replace('.', '/')}.py" for name in new]
        found = {name for file in files for name in imports(file)}
        modules = {name for name in found if name.startswith("fpnprobe.evaluation.")}
        new = {
            name for name in modules if (PACKAGE.parent / f"{name.replace('.', '/')}.py").exists()
        }
        new -= needed
    counted = {f"fpnprobe.{name[:-3].replace('/', '.')}" for name in keys._CODE if "/" in name}
    assert counted == needed


def test_what_is_said_to_read_only_is_there_and_used_by_no_training() -> None:
    mm = PACKAGE / "mm"
    assert all((mm / name).exists() for name in keys._READERS)
    names = {f"fpnprobe.mm.{name.removesuffix('.py').replace('/', '.')}" for name in keys._READERS}
    for file in (each for each in mm.rglob("*.py") if not keys._is_reader(each.relative_to(mm))):
        used = {name for name in imports(file) for reader in names if name.startswith(reader)}
        assert not used or file.name == "opened.py", (file, used)
