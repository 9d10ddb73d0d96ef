"""The key table says everything about every key, and nothing that the models do not."""

from fpnprobe.config import overrides
from fpnprobe.config.key_table import describe_type, format_keys, study_keys


def test_every_key_has_a_meaning_of_one_sentence() -> None:
    for key in study_keys():
        assert key.meaning.endswith((".", ")")), key.name
        assert "\n" not in key.meaning, key.name


def test_what_changes_no_result_is_marked_where_the_key_is_declared() -> None:
    unkeyed = {key.name for key in study_keys() if not key.changes_results}
    assert {"question", "expected", "data.root", "data.cache", "schedule.workers"} <= unkeyed
    assert {name for name in unkeyed if name.startswith("resources.")} == {
        key.name for key in study_keys() if key.name.startswith("resources.")
    }
    assert not unkeyed & {"detector", "seeds", "schedule.lr", "evaluation.engine"}


def test_lists_of_any_length_are_told_from_pairs() -> None:
    lists = {key.name for key in study_keys() if key.is_list}
    assert {"variants", "seeds", "imports", "schedule.steps", "probe.snapshots"} <= lists
    assert "data.size" not in lists
    assert overrides.parse(["seeds=3", "data.size=640", "data.limits.classes=5"]) == {
        "seeds": [3],
        "data.size": 640,
        "data.limits.classes": 5,
    }


def test_types_and_tables_in_words() -> None:
    assert describe_type(tuple[int, int] | None) == "(int, int) or None"
    keys = [key for key in study_keys() if key.name == "schedule.amp"]
    assert format_keys(keys).startswith("schedule.amp  ('bf16' or 'fp16' or None; None)\n    Half")
    assert "| `schedule.amp` | 'bf16' or 'fp16' or None | `None` |" in format_keys(
        keys, markdown=True
    )
