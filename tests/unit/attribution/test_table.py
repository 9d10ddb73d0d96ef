import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fpnprobe.attribution.table import COLUMNS, by_bucket, concat, on_assigned_level
from fpnprobe.errors import FpnProbeError


def table(images: int = 20, seeds: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for seed in range(seeds):
        for image in range(images):
            for thing in range(3):
                first = rng.beta(2, 5)
                for level, share in (("P2", first), ("P3", 1 - first)):
                    rows.append(
                        dict.fromkeys(COLUMNS, 0.0)
                        | {
                            "study": "s",
                            "variant": "FPN",
                            "seed": seed,
                            "image_id": image,
                            "object": thing,
                            "kind": "object",
                            "bucket": "small",
                            "method": "integrated_gradients",
                            "place": "pyramid",
                            "level": level,
                            "share": share,
                            "assigned_level": "P3" if thing else "P2",
                        }
                    )
    return pd.DataFrame(rows)


def test_shares_are_means_and_sum_to_one() -> None:
    frame = table()
    found = by_bucket(frame).set_index("level")
    assert found.loc["P2", "share"] == pytest.approx(
        frame.loc[frame["level"] == "P2", "share"].mean()
    )
    assert found["share"].sum() == pytest.approx(1)
    assert found["n_objects"].tolist() == [120, 120]
    assert found["n_images"].tolist() == [20, 20]
    assert found["n_seeds"].tolist() == [2, 2]
    assert found["assigned"].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_interval_holds_the_share_and_narrows_with_images() -> None:
    few, many = by_bucket(table(5)), by_bucket(table(200))
    for found in (few, many):
        assert found["low"].lt(found["share"]).all()
        assert found["high"].gt(found["share"]).all()
    ratio = (few["high"] - few["low"]) / (many["high"] - many["low"])
    assert ratio.between(3, 12).all()  # sqrt(200 / 5) = 6.3


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    template = table(12, 1)
    template = template[template["level"] == "P2"]
    hits = 0
    for _ in range(100):
        frame = template.assign(share=rng.beta(2, 5, len(template)))
        found = by_bucket(frame, resamples=200).iloc[0]
        hits += found["low"] <= 2 / 7 <= found["high"]
    assert 84 <= hits <= 99


def test_stages_have_no_assigned_level() -> None:
    assert by_bucket(table().assign(place="stages"))["assigned"].isna().all()


def test_buckets_as_targets_and_empty_shares_are_left_out() -> None:
    frame = table()
    extra = frame.head(2).assign(kind="bucket", share=9.0)
    nothing = frame.head(2).assign(share=np.nan)
    pd.testing.assert_frame_equal(by_bucket(concat([frame, extra, nothing])), by_bucket(frame))


def test_agreement_with_the_assigned_level() -> None:
    frame = table()
    found = on_assigned_level(frame)
    wide = frame.pivot_table(index=["seed", "image_id", "object"], columns="level", values="share")
    top = np.where(wide["P2"] > wide["P3"], "P2", "P3")
    told = np.where(wide.index.get_level_values("object") == 0, "P2", "P3")
    assert found["agreement"].item() == pytest.approx((top == told).mean())
    assert found["n_objects"].item() == 120


def test_missing_columns_and_bad_numbers_are_one_line() -> None:
    with pytest.raises(FpnProbeError, match="lacks the columns share"):
        by_bucket(table().drop(columns="share"))
    with pytest.raises(FpnProbeError, match="0 < confidence < 1"):
        by_bucket(table(), confidence=95)


def test_nothing_gives_an_empty_table_with_columns() -> None:
    assert list(concat([]).columns) == list(COLUMNS)
    assert "share" in by_bucket(concat([])).columns


def test_the_table_needs_no_torch() -> None:
    code = "import sys, fpnprobe.attribution.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
