"""The committed quickstart report says what its committed tables say."""

import json
from pathlib import Path

import pytest

from fpnprobe.report import causes, claims
from fpnprobe.report.build import compose, tables
from fpnprobe.report.stored import read

FOLDER = Path(__file__).parents[3] / "reports" / "quickstart"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "report.html").exists(), reason="reports/quickstart is not committed yet"
)


def test_tables_have_not_drifted() -> None:
    stored = read([FOLDER])
    report = compose(
        stored, claims.judged([FOLDER], stored.holes), causes.judged([FOLDER], stored.holes)
    )
    for name, csv in tables(report):
        committed = (FOLDER / "tables" / f"{name}.csv").read_text(encoding="utf-8")
        assert csv == committed, f"{name}.csv: run `fpnprobe report reports/quickstart` and commit"


def test_claims_have_not_drifted() -> None:
    committed = json.loads((FOLDER / "claims.json").read_text(encoding="utf-8"))
    found = claims.document(claims.judged([FOLDER], []))
    assert committed["claims"] == found["claims"]


def test_the_page_is_whole() -> None:
    html = (FOLDER / "report.html").read_text(encoding="utf-8")
    assert len(html) < 5_000_000
    assert (FOLDER / "report.pdf").read_bytes().startswith(b"%PDF")
    for svg in FOLDER.glob("figures/*.svg"):
        assert f'id="{svg.stem}"' in html
