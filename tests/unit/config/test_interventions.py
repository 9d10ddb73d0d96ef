"""Interventions in a study file: read, refused in one line, part of the cell's key."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fpnprobe.cli import main
from fpnprobe.config import loading
from fpnprobe.config.schema import Study
from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions import READY_MADE, Intervention, intervention
from fpnprobe.study.folder import cell_key

CUT = {"stages": "C2..C4", "route": "direct", "gain": 0.0}


def study(*variants: Any, **changes: Any) -> Study:
    content = {
        "name": "toy", "question": "?", "detector": {}, "variants": list(variants), "seeds": [0, 1],
        "data": {"root": "somewhere"}, "schedule": {"iterations": 4}, **changes,
    }  # fmt: skip
    return loading.validate(content)


def key(of: Study, variant: str) -> str:
    return cell_key.cell_key(of, variant, 0, data_hash="x")


@pytest.mark.parametrize("name", READY_MADE)
@pytest.mark.parametrize("base", ["FPN", "DC5", "FPN-AuxU", "FPN-CFG2"])
def test_every_ready_made_one_is_a_variant_of_any_pyramid(base: str, name: str) -> None:
    (variant,) = study(f"{base}~{name}").variants
    assert variant.change == intervention(name)
    assert variant.intervention == intervention(name).to_data()


def test_users_own_are_plain_data_under_any_name() -> None:
    found = study(
        "FPN",
        {"name": "half", "build": "FPN", "intervention": [{**CUT, "gain": 0.5}]},
        {"name": "by name", "build": "FPN", "intervention": "cut-direct"},
        {"name": "flipped", "build": "FPN",
         "intervention": {"gains": [{**CUT, "gain": -1.0}], "allow_negative": True}},
    )  # fmt: skip
    assert found.variant("FPN").change is None
    assert found.variant("half").change == Intervention.of([{**CUT, "gain": 0.5}])
    assert found.variant("by name").change == intervention("cut-direct")
    again = loading.validate(found.model_dump(mode="json"))
    assert again == found  # as `study.json` and manifests are read


def test_a_change_of_the_gains_is_another_cell() -> None:
    def one(gain: float) -> Study:
        change = {"name": "a", "build": "FPN", "intervention": [{**CUT, "gain": gain}]}
        return study(change, "FPN~cut-direct")

    assert key(one(0.5), "a") != key(one(0.25), "a")
    assert key(one(0.5), "FPN~cut-direct") == key(one(0.25), "FPN~cut-direct")
    config = cell_key.cell_config(one(0.5), "a", 0)
    assert config["variants"][0]["intervention"]["gains"][0]["gain"] == 0.5


def test_seeds_of_a_variant_leave_its_cells_alone() -> None:
    more = study({"name": "FPN", "seeds": [0, 5]}, "DC5")
    assert (more.seeds_of("FPN"), more.seeds_of("DC5")) == ((0, 5), (0, 1))
    assert key(more, "FPN") == key(study("FPN", "DC5"), "FPN")
    with pytest.raises(FpnProbeError, match="distinct"):
        study({"name": "FPN", "seeds": [3, 3]})


@pytest.mark.parametrize(
    ("variant", "changes", "message"),
    [
        ("FPN~cut-dirct", {}, "unknown intervention 'cut-dirct': did you mean cut-direct"),
        ("FPN~", {}, "'FPN~' is half a name"),
        ("FPM~cut-direct", {}, "did you mean FPN"),
        ({"name": "a", "build": "FPN", "intervention": [{**CUT, "gain": -1}]}, {},
         "allow_negative"),
        ({"name": "a", "build": "FPN", "intervention": [{**CUT, "gain": float("nan")}]}, {},
         "finite number"),
        ({"name": "a", "build": "FPN", "intervention": [{**CUT, "route": "lateral"}]}, {},
         "route 'lateral': expected one of direct, auxiliary, deeper"),
        ({"name": "a", "build": "FPN", "intervention": [{**CUT, "stages": "C9"}]}, {}, "C2..C5"),
        ({"name": "a", "build": "FPN", "intervention": [{**CUT, "bucket": "huge"}]}, {},
         "no bucket 'huge'"),
        ({"name": "a", "build": "FPN", "intervention": 3}, {}, "expected a list of gains"),
        ("FPN~no-small-direct", {"buckets": [["tiny", 0, 9], ["big", 9, None]]},
         "no bucket 'small'"),
        ("FPN~cut-direct", {"probe": {"mode": "norms"}}, "take routes or full, or None"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(variant: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FpnProbeError, match=message.replace("(", r"\(")) as caught:
        study(variant, **changes)
    assert "\n" not in str(caught.value)


def test_on_the_command_line_it_is_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.py").write_text(
        'name = "toy"\nquestion = "?"\ndetector = {}\nvariants = ["FPN~cut-dirct"]\n'
        'data = {"root": "x"}\nschedule = {"iterations": 1}\n'
    )
    monkeypatch.setattr(sys, "argv", ["fpnprobe", "plan", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main.entry()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "did you mean cut-direct" in said
    assert "more)" not in said
