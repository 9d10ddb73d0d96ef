"""The diagnosis of a report: every variant that has a ledger, and no other."""

from collections.abc import Callable
from pathlib import Path

from fpnprobe.report.build import build
from fpnprobe.report.sections import rules
from fpnprobe.report.tables.read_studies import read


def test_a_variant_whose_only_ledger_is_gone_has_no_verdicts(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(variants=("DC5", "FPN"), seeds=(0,))
    (folder / "cells/fpn/seed-0/ledger.parquet").unlink()
    findings = rules.diagnose(read([folder]))
    assert {finding.variant for finding in findings} == {"DC5"}
    assert Path(build(folder)["html"]).is_file()
