"""Every report in this checkout, committed or just made, says what its tables say."""

import json
from pathlib import Path

import pytest

from fpnprobe.report import causes, claims
from fpnprobe.report.build import compose, tables
from fpnprobe.report.stored import read

FOLDERS = sorted(
    page.parent for page in (Path(__file__).parents[3] / "reports").glob("*/report.html")
)

pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_tables_have_not_drifted(folder: Path) -> None:
    stored = read([folder])
    report = compose(
        stored, claims.judged([folder], stored.holes), causes.judged([folder], stored.holes)
    )
    for name, csv in tables(report):
        committed = (folder / "tables" / f"{name}.csv").read_text(encoding="utf-8")
        assert csv == committed, f"{name}.csv: run `fpnprobe report reports/{folder.name}`"


def test_claims_have_not_drifted(folder: Path) -> None:
    committed = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
    found = claims.document(claims.judged([folder], []))
    assert committed["claims"] == found["claims"]


def test_the_page_is_whole(folder: Path) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(html) < 5_000_000
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    for svg in folder.glob("figures/*.svg"):
        assert f'id="{svg.stem}"' in html
