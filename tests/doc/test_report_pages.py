"""AP on the pages of stored reports, and shares on a GPU, are those of their tables, cell by cell.

That every other number of a page is somewhere in the row of its table is tested beside the reports.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("reports/*/README.md"))
# Tables of these are read: rows are variants, columns sizes or iterations.
VALUES = {
    "figure-3": ("value", "low", "high"),
    "average-precision": ("value",),
    "differences": ("difference", "low", "high"),
    "repairs": ("difference", "low", "high"),
    "effects-table": ("difference", "low", "high"),
    "learning-curves": ("value",),
}
TABLE = re.compile(
    r"((?:[^\n]+\n)+)\n"  # the paragraph before, which names the file
    r"(\|[^\n]+\n\|[-|: ]+\n(?:\|[^\n]+(?:\n|$))+)"
)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def find_tables(page: Path) -> Iterator[tuple[str, str, list[str], list[list[str]]]]:
    for caption, table in TABLE.findall(page.read_text()):
        named = re.search(r"`tables/([\w-]+)\.csv`", caption)
        if named and named[1] in VALUES:
            lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
            yield named[1], caption, lines[0], lines[2:]


def read_long(page: Path, name: str, caption: str) -> pd.DataFrame:
    frame = pd.read_csv(page.parent / "tables" / f"{name}.csv")
    if name == "average-precision":  # of one seed here
        frame = frame.drop(columns=["seed", "state"]).melt("variant", var_name="metric")
    if "baseline" in frame:
        named = frame["baseline"].map(lambda baseline: f"gainst {baseline}" in caption)
        frame = frame[named] if named.any() else frame
    return frame.assign(metric=frame["metric"].str.split(" ").str[0])


def printed_cells(page: Path) -> Iterator[tuple[str, list[float], list[float]]]:
    """Where it stands, the numbers printed, and those of the table."""
    for name, caption, header, lines in find_tables(page):
        frame = read_long(page, name, caption)
        curve = name == "learning-curves"
        metric = re.search(r"AP(?:_[SML])?", caption)
        for variant, *cells in lines:
            rows = frame[frame["variant"] == variant]
            for column, cell in zip(header[1:], cells, strict=True):
                if column == "seeds":
                    continue
                at = int(re.sub(r"\D", "", column)) if curve else None
                wanted = metric[0] if curve and metric else column.split(" ")[0]
                row = rows[rows["metric"] == wanted]
                row = row if at is None else row[row["iteration"] == at]
                assert len(row) == 1, f"{page.parent.name}, {name}: no row of {variant}, {column}"
                stored = row[list(VALUES[name])].iloc[0].to_list()
                printed = [float(number) for number in NUMBER.findall(cell)]
                yield f"{page.parent.name}, {name}: {variant}, {column}: {cell}", printed, stored


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_tables_of_ap_are_those_that_are_stored(page: Path) -> None:
    cells = list(printed_cells(page))
    wrong = [
        where
        for where, printed, stored in cells
        if [round(value, 1) for value in stored] != printed
    ]
    assert not wrong
    assert len(cells) >= 4


def test_the_shares_of_the_h200_are_those_of_its_rows() -> None:
    frame = pd.read_csv(ROOT / "studies/coco_mini/h200.csv")
    assert set(frame["tap"]) == {"C2"}
    assert not frame.duplicated(["variant", "seed", "iteration", "route", "bucket"]).any()
    large = frame[frame["bucket"] == "large"]
    means = large.groupby(["variant", "seed", "route"])["share"].mean()
    shares = 100 * means.groupby(["variant", "route"]).mean()
    text = (ROOT / "studies/coco_mini/README.md").read_text()
    lines = {
        name: re.findall(r"[\w.-]+(?= %)", line)
        for name, line in re.findall(r"\| (direct route|all routes) (\|.*)\|\n", text)
    }
    order = ["DC5", "FPN", "FPN-AuxU", "FPN-Wide1", "FPN-CFG1"]
    assert lines["all routes"] == [f"{shares[variant, 'total']:.1f}" for variant in order]
    assert lines["direct route"] == [f"{shares[variant, 'direct']:.1f}" for variant in order[1:]]
