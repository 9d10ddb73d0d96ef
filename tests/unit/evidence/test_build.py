"""A study's evidence: each table against the numbers it is made of."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as rle
from scipy.stats import norm

from fpnprobe.errors import FpnProbeError
from fpnprobe.evaluation import compare, evaluate
from fpnprobe.evidence import build
from fpnprobe.evidence.association import associations
from fpnprobe.evidence.finished_cells import read_study
from fpnprobe.statistics import t_interval
from tests.unit.evidence.study_folder import write_ledger, write_study

SKILLS = {"DC5": 0.3, "FPN": 0.7, "FPN~cut-direct": 0.4}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("s") / "toy", SKILLS, spread=0.05)
    build.build(folder, resamples=100)
    return folder


def table(folder: Path, name: str) -> Any:
    return pd.read_parquet(folder / "evidence" / f"{name}.parquet")


def test_all_tables_are_there(study: Path) -> None:
    names = {path.stem for path in (study / "evidence").glob("*.parquet")}
    assert names == {
        "comparison", "size_curve", "size_difference", "seeds", "errors", "association",
        "association_points",
    }  # fmt: skip


def test_masks_are_compared_beside_boxes(tmp_path: Path) -> None:
    skills = {"FPN": 0.4, "FPN-CFG3": 0.7}
    both = {"iou_type": ["bbox", "segm"]}
    folder = write_study(tmp_path / "toy", skills, seeds=(0,), images=20, evaluation=both)
    annotations = json.loads((folder / "val.json").read_text())
    for image in annotations["images"]:
        image |= {"width": 600, "height": 600}
    for entry in annotations["annotations"]:
        entry["segmentation"] = [outline(entry["bbox"])]
    (folder / "val.json").write_text(json.dumps(annotations))
    for file in folder.glob("cells/*/*/detections.json.gz"):
        results = json.loads(gzip.decompress(file.read_bytes()))
        for entry in results:
            code = rle.frPyObjects([outline(entry["bbox"])], 600, 600)[0]
            counts = code["counts"].decode()
            entry["segmentation"] = {"size": [600, 600], "counts": counts}
        file.write_bytes(gzip.compress(json.dumps(results).encode()))
    build.build(folder, resamples=20)
    values = {
        (v, iou_type): evaluate(
            folder / "val.json",
            folder / f"cells/v{v}/seed-0/detections.json.gz",
            iou_type=iou_type,
        ).metrics["AP"]
        for v in (0, 1)
        for iou_type in ("bbox", "segm")
    }
    for name, iou_type in (("comparison", "bbox"), ("comparison_segm", "segm")):
        rows = table(folder, name)
        row = rows[(rows["metric"] == "AP") & (rows["seed"] == "0")].iloc[0]
        gain = values[1, iou_type] - values[0, iou_type]
        assert row["difference"] == pytest.approx(gain, abs=1e-12)


def outline(box: list[float]) -> list[float]:
    """A box as a polygon."""
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    return [left, top, right, top, right, bottom, left, bottom]


def test_one_seeds_difference_is_what_compare_says(study: Path) -> None:
    found = table(study, "comparison")
    rows = found[
        (found["variant"] == "FPN") & (found["baseline"] == "DC5") & (found["seed"] == "1")
    ]
    direct = compare(
        study / "val.json",
        study / "cells" / "v0" / "seed-1" / "detections.json.gz",
        study / "cells" / "v1" / "seed-1" / "detections.json.gz",
        resamples=100,
    ).table
    for key in ("a", "b", "difference", "low", "high"):
        np.testing.assert_allclose(rows[key], direct[key], atol=1e-12)
    assert set(rows["source"]) == {"images"}


def test_the_sources_of_error_stand_apart_and_together(study: Path) -> None:
    found = table(study, "comparison")
    rows = found[(found["variant"] == "FPN") & (found["baseline"] == "DC5")]
    single = rows[(rows["seed"] != "all") & (rows["metric"] == "AP")]["difference"]
    of = rows[(rows["seed"] == "all") & (rows["metric"] == "AP")].set_index("source")
    assert set(of.index) == {"images", "seeds", "both"}
    assert of["difference"].tolist() == pytest.approx([single.mean()] * 3)
    spread = t_interval(single)
    assert (of.at["seeds", "low"], of.at["seeds", "high"]) == pytest.approx(
        (spread.low, spread.high)
    )
    width = of["high"] - of["low"]
    assert width["both"] > width["images"]
    assert width["both"] > 0.95 * width["seeds"]
    assert (of["n_seeds"] == 3).all()
    assert (of["n_images"] == 60).all()


def test_an_intervention_is_compared_with_its_base(study: Path) -> None:
    found = table(study, "comparison")
    pairs = set(zip(found["variant"], found["baseline"], strict=True))
    assert pairs == {("FPN", "DC5"), ("FPN~cut-direct", "DC5"), ("FPN~cut-direct", "FPN")}


def test_a_base_that_comes_later_is_still_the_baseline(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"FPN~cut": 0.3, "FPN": 0.6}, seeds=[0], images=20)
    build.build(folder, resamples=10)
    found = table(folder, "comparison")
    assert set(zip(found["variant"], found["baseline"], strict=True)) == {("FPN~cut", "FPN")}


def test_seed_table_is_mean_and_sd(study: Path) -> None:
    row = table(study, "seeds").set_index(["variant", "metric"]).loc[("FPN", "AP_L")]
    values = [
        evaluate(
            study / "val.json", study / "cells" / "v1" / f"seed-{s}" / "detections.json.gz"
        ).metrics["AP_L"]
        for s in range(3)
    ]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert row["n"] == 3


def test_the_size_curve_has_bands_and_counts(study: Path) -> None:
    curve = table(study, "size_curve")
    one = curve[
        (curve["variant"] == "FPN") & (curve["seed"] == "all") & (curve["source"] == "both")
    ]
    assert len(one) >= 9
    assert {32.0, 96.0} <= set(one["low"])
    filled = one[one["n_objects"] > 0]
    assert (filled["band_low"] <= filled["ap"]).all()
    assert (filled["ap"] <= filled["band_high"]).all()
    assert one[one["n_objects"] == 0]["ap"].isna().all()
    difference = table(study, "size_difference")
    rows = difference[(difference["variant"] == "FPN") & (difference["seed"] == "0")]
    base = curve[(curve["variant"] == "DC5") & (curve["seed"] == "0")]
    fpn = curve[(curve["variant"] == "FPN") & (curve["seed"] == "0")]
    np.testing.assert_allclose(rows["ap"], fpn["ap"].to_numpy() - base["ap"].to_numpy())


def test_errors_of_every_cell(study: Path) -> None:
    found = table(study, "errors")
    assert len(found) == 9 * 4 * 6
    assert set(found["bucket"]) == {"all", "small", "medium", "large"}


def test_one_seed_says_what_it_cannot_tell(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3, "FPN": 0.6}, seeds=[0], images=20)
    build.build(folder, resamples=20)
    found = table(folder, "comparison")
    rows = found[(found["seed"] == "all") & (found["metric"] == "AP")].set_index("source")
    assert np.isfinite(rows.at["images", "low"])
    for source in ("seeds", "both"):
        assert np.isnan(rows.at[source, "low"])
        assert "one seed" in rows.at[source, "note"]


def test_cells_that_are_not_done_do_not_count(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3, "FPN": 0.6}, seeds=[0, 1], images=20)
    file = folder / "cells" / "v1" / "seed-1" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": "running"}))
    (folder / "cells" / "v0" / "seed-0" / "manifest.json").write_text('{"half')
    build.build(folder, resamples=10)
    assert table(folder, "comparison").empty  # no seed that both have
    assert set(table(folder, "seeds")["variant"]) == {"DC5", "FPN"}


def test_a_study_without_finished_cells_has_empty_tables(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3}, seeds=[])
    build.build(folder)
    for path in (folder / "evidence").glob("*.parquet"):
        found = pd.read_parquet(path)
        assert found.empty
        assert len(found.columns) > 3


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match="is not a study folder"):
        build.build(tmp_path)


def test_cells_on_different_annotations_are_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3}, seeds=[0, 1], images=10)
    file = folder / "cells" / "v0" / "seed-1" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": "other.json"}))
    with pytest.raises(FpnProbeError, match="different annotations"):
        build.build(folder)


SIX = {"DC5": 0.3, "FPN": 0.4, "FPN-Aux": 0.5, "FPN-CFG1": 0.6, "FPN-CFG2": 0.7, "FPN-CFG3": 0.8}


def test_association_finds_what_goes_together(tmp_path: Path) -> None:
    """The more a variant hears of large objects, the higher its skill: rho near 1, said so."""
    large = {name: 0.5 + skill for name, skill in SIX.items()}
    folder = write_study(tmp_path / "s", SIX, seeds=[0, 1], large=large, images=60, spread=0.002)
    build.build(folder, resamples=10)
    found = table(folder, "association")
    assert set(found["ledger"]) == {"training"}
    row = found.set_index(["measure", "tap", "route", "metric"]).loc[
        ("large_share", "C2", "direct", "AP_L")
    ]
    assert row["rho"] > 0.8
    assert row["low"] > 0
    assert (row["n"], row["variants"], row["note"]) == (12, 6, "")
    tested = found[found["low"].notna()].sort_values("rho", key=np.abs, ascending=False)
    ranks = np.arange(1, len(tested) + 1)
    by_hand = _two_sided(tested["rho"], variants=6) * len(ranks) * np.sum(1 / ranks) / ranks
    expected = np.minimum.accumulate(by_hand[::-1])[::-1].clip(max=1)
    np.testing.assert_allclose(tested["q"], expected, rtol=1e-9)
    assert (found["q"].isna() == found["low"].isna()).all()
    points = table(folder, "association_points")
    base = points[(points["variant"] == "DC5") & (points["metric"] == "AP_L")]
    assert base.drop_duplicates("seed")["change"].mean() == pytest.approx(0, abs=1e-12)


def test_cosines_are_measures_of_their_own(tmp_path: Path) -> None:
    """Three routes of one length are at 120 degrees; sizes agree as their table says."""
    folder = write_study(tmp_path / "s", SIX, seeds=[0], images=20)
    for cell in sorted(folder.glob("cells/*/*")):
        place = {"study": "s", "variant": cell.parent.name, "seed": 0, "iteration": 0, "tap": "C2"}
        pair = {"bucket_a": "small", "bucket_b": "large", "cosine": 0.1 * int(cell.parent.name[1:])}
        pd.DataFrame([{**place, "kind": "parameter", **pair}]).to_parquet(cell / "conflict.parquet")
    build.build(folder, resamples=10)
    points = table(folder, "association_points").query("metric == 'AP_L'")
    of_sizes = points[points["measure"] == "size_cosine"]
    assert of_sizes["value"].tolist() == pytest.approx([0.1 * at for at in range(6)])
    assert of_sizes[["tap", "kind", "route"]].drop_duplicates().values.tolist() == [
        ["C2", "parameter", "total"]
    ]
    row = table(folder, "association").query("measure == 'size_cosine' and metric == 'AP_L'")
    assert row["rho"].iloc[0] > 0.8
    of_routes = points[points["measure"] == "route_cosine"]
    assert of_routes["tap"].tolist() == ["C2", "C3"] * 6
    assert of_routes["value"].tolist() == pytest.approx([-0.5] * 12)


def _two_sided(rho: Any, *, variants: int) -> Any:
    """The level at which Bonett and Wright's interval just touches 0."""
    z = np.abs(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))).to_numpy()
    return 2 * norm.sf(z / np.sqrt((1 + rho.to_numpy() ** 2 / 2) / (variants - 3)))


def test_the_same_images_at_the_end_are_witnesses_too(tmp_path: Path) -> None:
    """Of several kept weights the last count; a training without large objects says nothing."""
    folder = write_study(tmp_path / "s", SIX, seeds=[0, 1], images=60, spread=0.002)
    for cell in sorted(folder.glob("cells/*/*")):
        place = int(cell.parent.name[1:])
        for trained, size in ((100, 1.0), (90, 9.0 - place), (1000, 1.0 + place)):
            write_ledger(cell / "offline" / f"iteration-{trained}", size)
    build.build(folder, resamples=10)
    found = table(folder, "association")
    found = found[(found["measure"] == "large_share") & (found["metric"] == "AP_L")]
    rho = found.set_index(["ledger", "tap", "route"])["rho"]
    assert rho.loc[("end", "C2", "direct")] > 0.9
    assert abs(rho.loc[("training", "C2", "direct")]) < 0.5


def test_associations_outlive_the_detections(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3, "FPN": 0.6}, seeds=[0], images=20)
    build.build(folder, resamples=20)
    before = table(folder, "association"), table(folder, "comparison")
    for file in folder.glob("cells/*/*/detections.json.gz"):
        file.unlink()
    for name in ("association", "association_points"):
        (folder / "evidence" / f"{name}.parquet").unlink()
    build.build(folder, resamples=20)
    after = table(folder, "association"), table(folder, "comparison")
    for a, b in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_association_says_too_few_points(study: Path) -> None:
    found = table(study, "association")
    assert set(found["measure"]) == {"index", "large_share", "route_cosine"}
    assert set(found["metric"]) == {"AP_S", "AP_L"}
    assert (found["note"] == "too few points: 2 variants, at least 5 needed").all()
    assert found["low"].isna().all()


def test_without_any_ap_nothing_is_associated(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "s", {"DC5": 0.3, "FPN": 0.6}, seeds=[0], images=5)
    for file in folder.glob("cells/*/*/evaluation.parquet"):
        pd.read_parquet(file)[:0].to_parquet(file, index=False)
    table, points = associations(read_study(folder))
    assert table.empty and points.empty


def test_interventions_are_no_witnesses_of_an_association(study: Path) -> None:
    """Their ledgers hold the gradient before the change."""
    assert "FPN~cut-direct" in set(table(study, "comparison")["variant"])
    assert set(table(study, "association_points")["variant"]) == {"DC5", "FPN"}


def test_a_cell_of_other_settings_is_not_compared(tmp_path: Path) -> None:
    """A study that was changed and run again in part holds cells of both settings."""
    keys = [{"variant": v, "seed": s, "key": "new"} for v in ("DC5", "FPN") for s in (0, 1)]
    folder = write_study(
        tmp_path / "toy", {"DC5": 0.3, "FPN": 0.7}, seeds=[0, 1], images=20, cells=keys
    )
    for path in folder.glob("cells/*/*/manifest.json"):
        content = json.loads(path.read_text())
        content["key"] = "old" if path.parent.parts[-2:] == ("v1", "seed-1") else "new"
        path.write_text(json.dumps(content))
    build.build(folder, resamples=20)
    assert table(folder, "seeds").groupby("variant")["n"].first().to_dict() == {"DC5": 2, "FPN": 1}
    assert set(table(folder, "comparison")["seed"]) == {"0", "all"}


def test_a_report_without_its_detections_keeps_its_evidence(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "toy", {"DC5": 0.3, "FPN": 0.7}, spread=0.05)
    build.build(folder, resamples=20)
    before = {path: path.read_bytes() for path in (folder / "evidence").iterdir()}
    first, *others = sorted(folder.glob("cells/*/*/detections.json.gz"))
    first.unlink()
    with pytest.raises(FpnProbeError, match=f"1 of {1 + len(others)} cells"):
        build.build(folder, resamples=20)
    for path in others:
        path.unlink()
    build.build(folder, resamples=20)
    assert {path: path.read_bytes() for path in (folder / "evidence").iterdir()} == before
    for path in before:
        path.unlink()
    with pytest.raises(FpnProbeError, match="run them again with --fresh"):
        build.build(folder, resamples=20)
