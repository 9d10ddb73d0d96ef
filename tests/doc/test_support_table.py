"""The table of detectors in EXACT.md is that of the stored run; FPNPROBE_REGENERATE=1 writes it."""

import os
import re
from pathlib import Path

from fpnprobe.mm.inspect import zoo, zoo_table

ROOT = Path(__file__).parents[2]
PAGE, STORED = ROOT / ".github" / "EXACT.md", ROOT / "reports" / "zoo.csv"
PLACE = re.compile(r"(?<=test_support_table.py -->\n).*?(?=<!-- end of zoo -->)", re.DOTALL)


def generated() -> str:
    rows = zoo_table.read_rows(STORED)
    tried = {row.config for row in rows}
    untried = sum(name not in tried for name in zoo.CONFIGS)
    tail = f"; {untried} of {len(zoo.CONFIGS)} configs are not tried yet" if untried else ""
    return (
        f"Of what was tried, {zoo_table.summary(rows)}{tail}.\n\n"
        "<details><summary>Every config</summary>\n\n"
        f"{zoo_table.support_table(rows)}\n\n</details>\n"
    )


def test_the_support_table_is_that_of_the_stored_run() -> None:
    text = PAGE.read_text()
    if os.environ.get("FPNPROBE_REGENERATE"):
        text = PLACE.sub(lambda _: generated(), text)
        PAGE.write_text(text)
    found = PLACE.search(text)
    assert found is not None and found[0] == generated()


def test_a_stored_config_is_one_of_the_zoo_and_there_once() -> None:
    rows = zoo_table.read_rows(STORED)
    names = [row.config for row in rows]
    assert len(set(names)) == len(names) and set(names) <= set(zoo.CONFIGS)
    assert all("Traceback" not in row.sentence and "\n" not in row.sentence for row in rows)


def test_rows_are_added_and_read_back(tmp_path: Path) -> None:
    rows = [
        zoo_table.ZooRow("gfl", "gfl_r50", "holds", "1e-06", "0.25", "9", "7"),
        zoo_table.ZooRow("paa", "paa_r50", "environment", sentence='needs "x", y'),
    ]
    for row in rows:
        zoo_table.append_row(tmp_path / "new" / "zoo.csv", row)
    assert zoo_table.read_rows(tmp_path / "new" / "zoo.csv") == rows
    assert zoo_table.summary(rows).startswith("1 of 1 families hold")
    assert "| gfl | gfl_r50 | 1e-06 | 25 % | 7 of 9 |" in zoo_table.support_table(rows)
