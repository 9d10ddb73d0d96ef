"""A key changes with everything that changes a result, and with nothing else."""

from typing import Any

import pytest

from fpnprobe import results_version
from fpnprobe.config import loading
from fpnprobe.config.schema import Study
from fpnprobe.study.folder import cell_key
from tests.unit.study.conftest import content


def key(data: str = "abc", seed: int = 0, **changes: Any) -> str:
    study: Study = loading.validate(content(**changes))
    return cell_key.cell_key(study, "FPN", seed, data_hash=data)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "other"},
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
        {"schedule": {"iterations": 10, "lr": 2e-3}},  # the default, said
        {"probe": {"mode": "routes"}, "evaluation": {"engine": "hotcoco"}},
    ],
)
def test_what_does_not(changes: dict[str, Any]) -> None:
    assert key(**changes) == key()


def test_the_place_of_the_data_does_not_count() -> None:
    first = loading.validate(content())
    second = loading.validate(content(data={"root": "/elsewhere"}))
    found = {cell_key.cell_key(each, "FPN", 0, data_hash="h") for each in (first, second)}
    assert len(found) == 1


def test_a_change_of_the_code_outdates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(cell_key, "code_version", lambda: "9.9+000000000000")
    monkeypatch.setattr("fpnprobe.__version__", "9.9")
    assert key() == before


def test_a_setting_that_is_new_outdates_nothing() -> None:
    study: Study = loading.validate(content())
    told = study.model_dump(mode="json", exclude_defaults=True)
    assert set(told) == {"name", "question", "detector", "variants", "seeds", "data", "schedule"}


@pytest.mark.parametrize(
    ("bumped", "outdated"),
    [
        ("CFG", {"FPN-CFG1", "FPN-CFG2-AuxU", "FPN-CFG3~cut-direct"}),
        ("Aux", {"FPN-Aux", "FPN-AuxU", "FPN-CFG2-AuxU"}),
        ("AuxU", {"FPN-AuxU", "FPN-CFG2-AuxU"}),
        ("DC5", {"DC5"}),
        ("~cut-direct", {"FPN-CFG3~cut-direct"}),
    ],
)
def test_a_method_that_gives_other_numbers_outdates_its_own_cells(
    bumped: str, outdated: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "DC5",
        "FPN",
        "FPN-Aux",
        "FPN-AuxU",
        "FPN-CFG1",
        "FPN-CFG2-AuxU",
        "FPN-CFG3~cut-direct",
    ]
    study: Study = loading.validate(content(variants=names))

    def found() -> dict[str, str]:
        return {name: cell_key.cell_key(study, name, 0, data_hash="h") for name in names}

    before = found()
    monkeypatch.setitem(results_version.METHOD_VERSIONS, bumped, 99)
    after = found()
    assert {name for name in names if before[name] != after[name]} == outdated
    monkeypatch.setattr(results_version, "RESULTS_VERSION", 99)
    assert not set(found().values()) & {*before.values(), *after.values()}


def test_the_version_of_the_code_knows_no_comments() -> None:
    source = 'def f(x):\n    """Doc."""\n    return x + 1  # why\n'
    same = 'def f(x):\n    """Another."""\n\n    return (x + 1)\n'
    assert cell_key._dump_code(source) == cell_key._dump_code(same)
    assert cell_key._dump_code(source) != cell_key._dump_code(source.replace("+ 1", "+ 2"))
    assert cell_key.code_version().startswith("0.")


def test_differences_name_keys_that_were_added_and_removed() -> None:
    assert cell_key.difference({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == [
        "a: 1 -> None",
        "b.c: 2 -> 3",
        "d: None -> 4",
    ]
