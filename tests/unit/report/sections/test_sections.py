"""Numbers in the report are those of the tables they come from."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fpnprobe.evidence import claims as rules
from fpnprobe.figures.wording import scientific, signed
from fpnprobe.report.page.content import Figure, Table
from fpnprobe.report.sections import (
    average_precision,
    caveats,
    claims,
    gradients,
    model,
    object_size,
    paper_tables,
    soundness,
    summary,
)
from fpnprobe.report.sections.gradients import association, figure2_paths
from fpnprobe.report.tables import average_precision as results
from fpnprobe.report.tables import gradient_shares as shares
from fpnprobe.report.tables import gradients as ledgers
from fpnprobe.report.tables.cells import label
from fpnprobe.report.tables.read_studies import read
from fpnprobe.report.tables.stored import Stored
from fpnprobe.statistics import gradient_shares
from fpnprobe.store.feature_maps import Features

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_anywhere: Any) -> Path:
    path: Path = make_anywhere(
        tmp_path_factory.mktemp("study"), variants=("DC5", "FPN", "FPN-Aux"), seeds=(0, 1)
    )
    return path


@pytest.fixture(scope="module")
def stored(folder: Path) -> Stored:
    return read([folder])


def named(blocks: Any, name: str) -> Any:
    return next(b for b in blocks if isinstance(b, Figure | Table) and b.name == name)


def test_ap_is_the_last_evaluation(stored: Stored) -> None:
    table = results.final(stored).set_index(["variant", "seed", "metric"])["value"]
    every = stored.evaluation
    last = every[every["iteration"] == 500].set_index(["variant", "seed", "metric"])["value"]
    pd.testing.assert_series_equal(table.sort_index(), 100 * last.sort_index())
    wide = results.by_variant(stored).set_index(["variant", "metric"])
    mean = 100 * last.groupby(["variant", "metric"]).mean()
    assert wide["value"]["FPN", "AP_L"] == pytest.approx(mean["FPN", "AP_L"])
    assert wide["published"]["FPN", "AP_L"] == 51.6
    assert len(wide["seeds"]["FPN", "AP"]) == 2


def test_differences_take_the_stored_interval(stored: Stored) -> None:
    table = results.compared(stored)
    assert set(table["baseline"]) == {"DC5"}
    assert set(table["source"]) == {"both"}
    row = table[(table["variant"] == "FPN") & (table["metric"] == "AP_L")].iloc[0]
    assert row["difference"] == pytest.approx(-5.5)
    assert (row["low"], row["high"]) == pytest.approx((-10.5, -0.5))


def test_differences_of_one_seed_are_over_images(make_study: Make) -> None:
    table = results.compared(read([make_study()]))
    assert set(table["source"]) == {"images"}


def test_differences_without_evidence_are_of_paired_seeds(make_study: Make) -> None:
    stored = read([make_study(seeds=(0, 1, 2), evidence=False)])
    table = results.compared(stored).set_index("metric")
    values = results.final(stored).pivot_table(
        index="seed", columns=["variant", "metric"], values="value"
    )
    gaps = values["FPN", "AP_S"] - values["DC5", "AP_S"]
    assert table["difference"]["AP_S"] == pytest.approx(gaps.mean())
    half = 4.302653 * gaps.std(ddof=1) / 3**0.5  # t quantile for two degrees of freedom
    assert table["high"]["AP_S"] - table["difference"]["AP_S"] == pytest.approx(half, rel=1e-5)


def test_trainings_on_other_images_are_not_compared(make_study: Make) -> None:
    stored = read([make_study(seeds=(0,), evidence=False)])
    assert not results.compared(stored).empty
    trainings = [
        replace(
            cell, is_run=True, manifest={**cell.manifest, "annotations": f"{cell.variant}.json"}
        )
        for cell in stored.cells
    ]
    assert results.compared(replace(stored, cells=trainings)).empty


def test_baseline_of_a_study(make_study: Make) -> None:
    stored = read([make_study(variants=("FPN", "FPN-Aux"))])
    assert results.focus(stored) == ("FPN", "FPN-Aux")
    stored = read([make_study("b", variants=("FPN", "DC5", "FPN-Aux"))])
    assert results.focus(stored) == ("DC5", "FPN")
    stored = read([make_study("c", study={"baseline": "FPN"})])
    assert results.focus(stored) == ("FPN", "DC5")


def test_a_variant_that_was_not_run_is_no_part_of_the_headline(make_study: Make) -> None:
    folder = make_study(variants=("FPN", "FPN-CFG1", "FPN-CFG3"))
    shutil.rmtree(folder / "cells" / "fpn-cfg1")
    stored = read([folder])
    assert results.focus(stored) == ("FPN", "FPN-CFG3")
    assert summary.answer(stored, []).startswith("From FPN to FPN-CFG3, ")
    folder = make_study("b", variants=("DC5", "FPN", "FPN-Aux"))
    shutil.rmtree(folder / "cells" / "dc5")
    assert results.focus(read([folder])) == ("FPN", "FPN-Aux")


def test_heat_map_has_the_shares_of_the_ledger(stored: Stored, folder: Path) -> None:
    table = shares.stage_shares(stored)
    frames = [
        pd.read_parquet(folder / "cells" / "fpn" / f"seed-{seed}" / "ledger.parquet")
        for seed in (0, 1)
    ]
    expected = gradient_shares(pd.concat(frames))
    at = expected[expected["kind"] == "activation"].groupby(["tap", "route", "bucket"])["share"]
    mine = table[table["variant"] == "FPN"].set_index(["tap", "route", "bucket"])["share"]
    for tap, route, bucket in mine.index:
        assert mine[tap, route, bucket] == pytest.approx(at.mean()[tap, route, bucket])
    assert list(dict.fromkeys(table["bucket"])) == ["small", "medium", "large"]
    assert list(dict.fromkeys(table["variant"])) == ["DC5", "FPN", "FPN-Aux"]


def test_figure_2_widths_are_the_heat_map(stored: Stored) -> None:
    figure, others = figure2_paths.figure(stored)
    assert isinstance(figure, Figure) and isinstance(others, Figure)
    shown = [panel.title for each in (figure, others) for panel in each.panels]
    assert shown == stored.variants
    assert [panel.title for panel in figure.panels] == ["DC5", "FPN"]
    parts = figure.table.groupby(["variant", "tap"])["part"].sum()
    assert parts.tolist() == pytest.approx([1.0] * len(parts))
    table = shares.stage_shares(stored).set_index(["variant", "tap", "route", "bucket"])["share"]
    direct = figure.table[figure.table["route"] == "direct"]
    part = direct.groupby(["variant", "tap", "bucket"])["part"].sum()
    whole = direct.groupby(["variant", "tap"])["part"].sum()
    got = part["FPN", "C3", "small"] / whole["FPN", "C3"]
    assert got == pytest.approx(table["FPN", "C3", "direct", "small"], abs=0.01)
    assert {"P2", "P3"} <= set(direct[direct["variant"] == "FPN"]["source"])


def test_history_bins_hold_all_samples(make_study: Make) -> None:
    stored = read([make_study(iterations=5000, interval=10)])
    table = stored.gradients.history
    one = table[(table["variant"] == "FPN") & (table["tap"] == "C2") & (table["route"] == "total")]
    by_bucket = one.groupby("bucket")
    assert by_bucket["points"].sum().tolist() == [500] * 3
    assert by_bucket.size().tolist() == [ledgers.BINS] * 3
    assert one.groupby("iteration")["share"].sum().tolist() == pytest.approx([1.0] * ledgers.BINS)


def test_seeds_probed_at_other_iterations_share_a_line(make_study: Make) -> None:
    """A budget chose interval 25 for one seed and 50 for the other."""
    folder = make_study(seeds=(0, 1))
    for path in folder.glob("cells/*/seed-1/ledger.parquet"):
        frame = pd.read_parquet(path)
        frame[(frame["iteration"] % 50 == 10) | (frame["iteration"] % 50 == 0)].assign(
            iteration=lambda rows: rows["iteration"] + 10
        ).to_parquet(path, index=False)
    blocks = gradients.section(read([folder])).blocks
    figure = named(blocks, "share-history")
    assert isinstance(figure, Figure)
    table = figure.table
    for _, line in table.groupby(["variant", "route", "bucket"]):
        assert line["iteration"].is_monotonic_increasing
        assert line["iteration"].nunique() == len(line) == 10
        assert line["points"].sum() == 20 + 10
    total = table[table["route"] == "total"].groupby(["variant", "iteration"])["share"].sum()
    assert total.to_numpy() == pytest.approx(1.0)


def test_residuals_and_tolerances(stored: Stored) -> None:
    table = soundness.residuals(stored)
    assert (table["verdict"] == "holds").all() and (table["tolerance"] == 1e-5).all()
    half = {"config": {"schedule": {"amp": "bf16"}}}
    cell = stored.cells[0]
    assert soundness.tolerance(replace(cell, manifest=half)) == 1e-3


def test_no_audited_sample_is_no_proof(make_study: Make) -> None:
    folder = make_study(seeds=(0, 1))
    for path in folder.glob("cells/fpn/*/ledger.parquet"):
        frame = pd.read_parquet(path)
        for name in ("loss", "gradient", "routes"):
            frame[f"residual_{name}"] = np.nan
        frame.loc[frame["iteration"] == 25, "state"] = "nonfinite"
        frame.to_parquet(path)
    stored = read([folder])
    verdicts = soundness.residuals(stored).set_index(["variant", "seed"])["verdict"]
    assert verdicts["FPN", 0] == "not audited" and verdicts["DC5", 0] == "holds"
    lines = caveats.warnings(stored)
    assert "FPN, seeds 0, 1: no sample was audited; its sums are unproven." in lines
    assert "FPN, seeds 0, 1: 1 samples were not finite and are left out." in lines
    assert "over tolerance" not in summary.numbers(stored)[3].detail


def test_summary_speaks_of_the_pair(stored: Stored) -> None:
    numbers = summary.numbers(stored)
    assert [n.value for n in numbers[:2]] == ["+36.3", "−5.5"]
    assert numbers[1].detail == "95 % interval −10.5 to −0.5 over images and seeds"
    table = shares.stage_shares(stored).set_index(["variant", "tap", "route", "bucket"])["share"]
    first, then = (100 * table[v, "C2", "total", "large"] for v in ("DC5", "FPN"))
    assert numbers[2].value == f"{first:.0f} → {then:.0f} %"
    assert "e" not in numbers[3].value and "× 10" in numbers[3].value
    fake = [{"verdict": "reproduced"}, {"verdict": "undecided"}, {"verdict": "not run"}]
    answer = summary.answer(stored, fake)
    assert "AP_S (<24 px) rises by 36.3 points and AP_L (≥72 px) falls by 5.5 points;" in answer
    tested = "Of 2 differences of the paper that this study tests, 1 reproduced and 1 undecided"
    assert f"{tested} (at 95 % each)." in answer
    same = summary.answer(stored, [{"verdict": "undecided"}] * 2)
    assert "The 2 differences of the paper that this study tests are all undecided." in same


def test_one_seed_is_never_clear(make_study: Make) -> None:
    variants = ("DC5", "FPN", "FPN-Aux", "DC5-Aux")
    stored = read([make_study("one", variants=variants, seeds=(0,))])
    answer = summary.answer(stored, [])
    assert "From DC5 to FPN, with one seed, AP_S (<24 px) rises by" in answer
    assert "no variant clearly wins AP_L (≥72 px)" in answer
    captions = {
        f.name: f.caption for f in average_precision.section(stored).blocks if isinstance(f, Figure)
    }
    assert captions["differences"].startswith("For small and large objects, with one seed,")
    assert "but not beyond doubt" in captions["figure-1"]
    several = read([make_study("three", variants=variants, seeds=(0, 1, 2))])
    captions = {
        f.name: f.caption
        for f in average_precision.section(several).blocks
        if isinstance(f, Figure)
    }
    assert "intervals of these exclude 0: FPN AP_S" in captions["differences"]
    assert captions["figure-1"].startswith("The pyramid helps small objects and costs large ones")
    assert "DC5-Aux" not in captions["repairs"]


def test_an_unknown_interval_is_not_a_direction(make_study: Make) -> None:
    stored = read([make_study(seeds=(0,), evidence=False)])
    assert "points, without an interval" in summary.answer(stored, [])


def test_figure_1_is_the_papers_for_its_own_detector_alone(make_study: Make) -> None:
    folder = make_study(study={"detector": {"framework": "retinanet"}})
    (figure,) = [
        block
        for block in average_precision.section(read([folder])).blocks
        if isinstance(block, Figure) and block.name == "figure-1"
    ]
    assert "the paper has" not in figure.caption
    assert not figure.keys
    assert figure.table["published"].isna().all()


@pytest.mark.parametrize(
    ("turned", "ends", "leads"),
    [(False, (0.01, 0.05), True), (False, (-0.01, 0.05), False), (True, (-0.05, -0.01), True),
     (True, (-0.05, 0.01), False), (False, (float("nan"), float("nan")), False)],
)  # fmt: skip
def test_a_lead_needs_a_paired_difference(
    turned: bool, ends: tuple[float, float], leads: bool, stored: Stored
) -> None:
    curve = stored.evidence["size_curve"]
    curve = curve[curve["variant"].isin(["DC5", "FPN"])]
    largest = float(curve["sqrt_area"].max())
    at = curve[(curve["sqrt_area"] == largest) & (curve["seed"] == "all")]
    best = str(at.sort_values("ap")["variant"].iloc[-1])
    other = "DC5" if best == "FPN" else "FPN"
    pair = (other, best) if turned else (best, other)
    apart = pd.DataFrame(
        [(*pair, "all", largest, *ends, "both")],
        columns=["variant", "baseline", "seed", "sqrt_area", "band_low", "band_high", "source"],
    )
    evidence = {**stored.evidence, "size_curve": curve, "size_difference": apart}
    section = object_size.section(replace(stored, evidence=evidence))
    assert section is not None
    figure = named(section.blocks, "size-curve")
    assert (f"{best} leads on the largest" in figure.caption) is leads


def test_claims_table(folder: Path) -> None:
    found = claims.judged([folder], [])
    expected = rules.judge(folder)
    assert [c["statement"] for c in found] == [c.statement for c in expected]
    section = claims.section(found)
    assert section is not None
    table = named(section.blocks, "claims")
    run = [c for c in expected if c.verdict != "not run"]
    run.sort(key=lambda claim: claim.verdict == "undecided")
    assert list(table.frame["measured"]) == pytest.approx([c.measured for c in run])
    assert [row for row in table.rows() if "−10.5 to −0.5" in row and "✓ reproduced" in row]


def test_claims_that_cannot_be_judged_are_a_hole(tmp_path: Path) -> None:
    holes: list[str] = []
    assert claims.judged([tmp_path], holes) == []
    assert holes and "not judged" in holes[0]
    assert claims.section([]) is None


def test_tables_beside_the_paper(make_study: Make) -> None:
    stored = read([make_study(variants=("FPN", "FPN-Aux", "FPN-CFG1"))])
    section = paper_tables.section(stored)
    assert section is not None
    one = named(section.blocks, "table1")
    assert not one.folded
    row = one.frame[(one.frame["detector"] == "Faster R-CNN") & (one.frame["auxiliary"] == "yes")]
    assert row["AP_S paper"].iloc[0] == "21.8 (−1.8)"
    values = results.final(stored).set_index(["variant", "metric"])["value"]
    gain = values["FPN-Aux", "AP_S"] - values["FPN", "AP_S"]
    assert row["AP_S ours"].iloc[0] == f"{values['FPN-Aux', 'AP_S']:.1f} ({signed(gain)})"
    assert "table4" not in [getattr(block, "name", "") for block in section.blocks]
    assert one.rest and one.shown == (one.frame["detector"] == "Faster R-CNN").sum()


def test_tables_1_and_2_have_all_of_the_papers_columns(make_study: Make) -> None:
    names = ("FPN", "FPN-Aux", "FPN-CFG1")
    without = paper_tables.section(read([make_study("without", variants=names)]))
    assert without is not None
    assert not [c for c in named(without.blocks, "table1").headers if c.startswith("FPS")]
    timed = {"timings": {"images_per_second": 12.5}, "device": "cpu"}
    stored = read([make_study("timed", variants=names, manifest=timed)])
    section = paper_tables.section(stored)
    assert section is not None
    values = results.final(stored).set_index(["variant", "metric"])["value"]
    for name, grouped in (("table1", "FPN-Aux"), ("table2", "FPN-CFG1")):
        table = named(section.blocks, name)
        assert "on cpu" in table.caption
        rows = table.frame[table.frame["detector"] == "Faster R-CNN"]
        assert rows["FPS ours"].tolist()[:2] == ["12.5", "12.5 (+0.0)"]
        assert f"{values[grouped, 'AP_50']:.1f}" in rows["AP_50 ours"].iloc[1]
        assert rows["AP_50 paper"].notna().all()


def test_size_curve_and_errors(stored: Stored) -> None:
    section = object_size.section(stored)
    assert section is not None
    curve = named(section.blocks, "size-curve").table
    assert len(curve) == 3 * 9 and curve["ap"].max() > 20, "in AP points, the seeds pooled"
    errors = named(section.blocks, "error-types").table
    source = stored.evidence["errors"]
    got = errors.set_index(["variant", "bucket", "error"])["d_ap"]
    mean = source.groupby(["variant", "bucket", "error"])["d_ap"].mean() * 100
    assert got["FPN", "large", "Miss"] == pytest.approx(mean["FPN", "large", "Miss"])


def test_modules_from_a_list_or_a_mapping(stored: Stored, make_study: Make) -> None:
    table = model.module_table(stored)
    assert list(table["shape"].head(2)) == ["16 × 48 × 48", "64 × 48 × 48"]
    listed = {"model": {"modules": {"neck": {"type": "FPN", "parameters": 5}}, "parameters": 9}}
    other = model.module_table(read([make_study("m", manifest=listed)]))
    assert other[["name", "type", "parameters"]].iloc[0].tolist() == ["neck", "FPN", 5.0]


def test_features_share_one_scale(stored: Stored) -> None:
    section = model.section(stored)
    assert section is not None
    figure = named(section.blocks, "figure-5")
    drawn = [panel.draw.keywords for panel in figure.panels if isinstance(panel.draw, partial)]
    maps = [words for words in drawn if words.get("energy")]
    assert len(maps) == 4 + 8 + 8
    for letter in "CP":
        assert len({w["top"] for w in maps if w["label"].split()[-1].startswith(letter)}) == 1
    bars = {words["title"] for words in drawn if "title" in words}
    assert bars == {"stages C", "levels P"}
    energy = figure.table
    assert set(energy["tap"]) == {"C2", "C3", "C4", "C5", "P2", "P3", "P4", "P5"}
    assert energy["energy"].between(0, 1).all()


def test_compactness_beside_the_maps(make_study: Make) -> None:
    folder = make_study(variants=("DC5", "FPN", "FPN-CFG1"), seeds=(0, 1))
    path = folder / "cells" / "fpn-cfg1" / "seed-1" / "features" / "7.npz"
    found = Features.read(path)
    replace(found, compactness={"P2": 0.3, "P3": 0.11}).write(path.parent)
    section = model.section(read([folder]))
    assert section is not None
    table = named(section.blocks, "compactness")
    assert table.rows() == [
        ["DC5", "–", "–", "–", "–"],
        ["FPN", "+0.00 [+0.00, +0.00]", "+0.01 [+0.01, +0.01]", "+0.02 [+0.02, +0.02]",
         "+0.03 [+0.03, +0.03]"],
        ["FPN-CFG1", "+0.20 [+0.10, +0.30]", "+0.11 [+0.11, +0.11]", "+0.12", "+0.13"],
    ]  # fmt: skip
    assert table.caption.startswith("Most compact: FPN-CFG1 (+0.14 over all levels; FPN +0.01).")


def test_features_of_before_compactness(make_study: Make) -> None:
    folder = make_study()
    for path in folder.glob("cells/*/*/features/*.npz"):
        replace(Features.read(path), compactness={}).write(path.parent)
    section = model.section(read([folder]))
    assert section is not None
    assert not [block for block in section.blocks if getattr(block, "name", "") == "compactness"]


def test_attribution_table(stored: Stored) -> None:
    table = pd.DataFrame(
        [("FPN", "integrated_gradients", place, "small", level, 0.5, 0.4, 0.6)
         for place in ("stages", "pyramid") for level in ("C2", "C3")],
        columns=["variant", "method", "place", "bucket", "level", "share", "low", "high"],
    )  # fmt: skip
    section = model.section(replace(stored, evidence={"attribution": table}))
    assert section is not None
    shown = named(section.blocks, "attribution")
    assert shown.rows() == [["FPN", "small", "0.50 [0.40, 0.60]", "0.50 [0.40, 0.60]"]]


def test_a_share_that_goes_with_ap(stored: Stored) -> None:
    (figure,) = association.figure(stored)
    assert isinstance(figure, Figure)
    assert len(figure.table[figure.table["route"] == "total"]) == 6
    assert "too few points" in figure.caption


def test_interventions_are_no_points_of_it(make_study: Make) -> None:
    cut = {"name": "FPN~cut-direct", "intervention": {"gains": [
        {"stages": ["C2"], "route": "direct", "bucket": "all", "gain": 0.0}]}}  # fmt: skip
    names = ("DC5", "FPN", "FPN-Aux", "FPN~cut-direct")
    variants = [*names[:3], cut]
    folder = make_study(variants=names)
    study = json.loads((folder / "study.json").read_text())
    (folder / "study.json").write_text(json.dumps(study | {"variants": variants}))
    (figure,) = association.figure(read([folder]))
    assert isinstance(figure, Figure)
    assert set(figure.table["variant"]) == set(names[:3])


def test_every_correlation_has_its_row(stored: Stored) -> None:
    columns = ["ledger", "measure", "tap", "kind", "route", "metric", "n", "variants", "rho", "low",
               "high", "q"]  # fmt: skip
    nan = float("nan")
    rows = [
        ("end", "large_share", "C2", "activation", "direct", "AP_L", 18, 6, 0.9, 0.4, 0.98, 0.01),
        ("training", "index", "C2", "activation", "total", "AP_S", 18, 6, 0.6, 0.01, 0.9, 0.4),
        ("training", "index", "C3", "activation", "direct", "AP_S", 9, 3, 0.9, nan, nan, nan),
        ("training", "index", "C2", "parameter", "total", "AP_S", 18, 6, 0.9, 0.4, 0.98, 0.01),
        ("training", "index", "P2", "activation", "total", "AP_S", 18, 6, 0.9, 0.4, 0.98, 0.01),
        ("training", "size_cosine", "C3", "parameter", "total", "AP_S", 18, 6, 0.1, -0.4, 0.5, 0.9),
        ("training", "large_share", "C3", "update", "total", "AP_S", 18, 6, 0.1, -0.4, 0.5, 0.9),
    ]
    found = pd.DataFrame(rows, columns=columns)
    (shown,) = association.correlations(replace(stored, evidence={"association": found}))
    assert isinstance(shown, Table)
    assert shown.rows()[0] == [
        "the same images, at the end", "share of large objects", "C2", "direct",
        "AP_L (≥72 px) change",
        "6", "18", "0.90", "0.40", "0.98", "0.01",
    ]  # fmt: skip
    assert [row[1] for row in shown.rows()[3:]] == [
        "cosine of small and large objects, in parameters",
        "share of large objects in the optimizer's step",
    ]
    assert shown.caption.startswith(
        "2 of 4 intervals exclude 0, where chance alone gives about 0; 1 with a false discovery "
        "rate below 5 %. Clearest: share of large objects at C2 (direct, the same images, at the "
        "end) with AP_L (≥72 px): 0.90; all-object index at C2 (total, training) with AP_S (<24 "
        "px): 0.60."
    )
    (unclear,) = association.correlations(
        replace(stored, evidence={"association": found.assign(low=-0.1 + 0 * found["low"])})
    )
    assert isinstance(unclear, Table)
    assert unclear.caption.startswith("None of 4 intervals excludes 0.")
    none = found.assign(low=nan, high=nan, q=nan)
    assert not association.correlations(replace(stored, evidence={"association": none}))
    former = found.drop(columns="q")
    assert not association.correlations(replace(stored, evidence={"association": former}))


def test_no_ledger_no_figure(make_study: Make) -> None:
    folder = make_study()
    for path in folder.glob("cells/*/*/ledger.parquet"):
        path.unlink()
    blocks = gradients.section(read([folder])).blocks
    assert len(blocks) == 1 and "Not measured" in str(blocks[0])


def test_no_evaluation_no_bars(make_study: Make) -> None:
    folder = make_study(evidence=False)
    for path in folder.glob("cells/*/*/evaluation.parquet"):
        path.unlink()
    blocks = average_precision.section(read([folder])).blocks
    assert len(blocks) == 1 and "Not measured" in str(blocks[0])


def test_custom_buckets_keep_their_order(make_study: Make) -> None:
    study = {"buckets": [["zoo", 0, 100], ["mid", 100, 900], ["big", 900, None]]}
    folder = make_study(study=study)
    names = {"small": "zoo", "medium": "mid", "large": "big"}
    for path in folder.glob("cells/*/*/ledger.parquet"):
        pd.read_parquet(path).replace({"bucket": names}).to_parquet(path)
    table = shares.stage_shares(read([folder]))
    assert list(dict.fromkeys(table["bucket"])) == ["zoo", "mid", "big"]


@pytest.mark.parametrize(("value", "text"), [(6.8e-7, "7 × 10⁻⁷"), (0.0, "0"), (1e-3, "1 × 10⁻³")])
def test_scientific(value: float, text: str) -> None:
    assert scientific(value) == text


def test_missing_values_are_dashes() -> None:
    frame = pd.DataFrame(
        {"a": [1.25, np.nan, -2.0], "b": ["x", None, "y"], "c": [True, False, True]}
    )
    table = Table("t", "t", "", frame, {"a": "A", "b": "B", "c": "C"}, {"a": "{:.1f}"})
    assert table.rows() == [["1.2", "x", "yes"], ["–", "–", "no"], ["−2.0", "y", "yes"]]
    assert table.numeric()[:2] == [True, False]


def test_labels_fit_and_stay_apart() -> None:
    one, two = label("a" * 100 + "b" * 100), label("a" * 100 + "c" + "b" * 99)
    assert one != two and len(one) <= 48


def test_study_without_buckets_uses_coco(make_study: Make) -> None:
    stored = read([make_study(study={"buckets": []})])
    assert stored.buckets == ["small", "medium", "large"]
    assert json.dumps(stored.studies[0]["buckets"]) == "[]"


def test_changes_against_the_plain_pyramid(stored: Stored) -> None:
    table = results.against(stored, "FPN")
    assert set(table["variant"]) == {"FPN-Aux"} and set(table["baseline"]) == {"FPN"}
    figure = named(average_precision.section(stored).blocks, "repairs")
    assert [panel.title for panel in figure.panels] == ["FPN-Aux − FPN"]
    assert "For small and large objects every interval holds 0" in figure.caption
    assert "Against FPN, no variant clearly wins AP_L (≥72 px)." in summary.answer(stored, [])
    sure = stored.evidence["comparison"].assign(low=lambda t: t["difference"] - 0.001)
    clear = replace(stored, evidence={**stored.evidence, "comparison": sure})
    said = summary.answer(clear, [])
    assert "Against FPN, AP_L (≥72 px) is clearly higher with FPN-Aux +1.8." in said
    assert results.against(stored, "FPN-Aux").empty, "nothing comes after the last variant"


def test_index_caption_names_both_ends(stored: Stored) -> None:
    caption = named(gradients.section(stored).blocks, "all-object-index").caption
    table = stored.gradients.index
    table = table[(table["tap"] == "C2") & (table["route"] == "total")]
    mean = table[table["kind"] == "activation"].groupby("variant")["index"].mean().sort_values()
    ends = [f"{mean.iloc[at]:.2f} ({mean.index[at]})" for at in (0, -1)]
    said = f"At C2 (while training), in total from {ends[0]} to {ends[1]}; by the direct route"
    assert said in caption


def test_modules_go_from_the_backbone_to_the_heads(make_study: Make) -> None:
    names = ("auxiliary_heads.2", "rpn_head", "neck", "roi_head", "backbone.layer1", "backbone.bn1")
    listed = {
        name: {"type": "X", "parameters": 1 if name.endswith("bn1") else 1000} for name in names
    }
    manifest = {"model": {"modules": listed, "parameters": 5001}}
    section = model.section(read([make_study(variants=("FPN",), manifest=manifest)]))
    assert section is not None
    (panel,) = named(section.blocks, "figure-4").panels
    assert panel.draw.args[0]["name"].tolist() == [
        "backbone.layer1", "neck", "auxiliary_heads.2", "rpn_head", "roi_head",
    ]  # fmt: skip
