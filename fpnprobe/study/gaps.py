"""The gaps of a study's report, found before it costs anything."""

from collections.abc import Sequence

from fpnprobe.scales import ScaleBucket
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output

FEW_IMAGES = 500


def find_gaps(output: Output, selected: Sequence[Cell]) -> list[str]:
    """Find what the report of these cells will lack: sizes without objects, and spread of seeds."""
    gaps = []
    splits = (("training", "their gradient"), ("validation", "their AP"))
    for (split, lost), images, counts in zip(
        splits, output.source.images, output.source.by_bucket, strict=False
    ):
        for bucket, count in zip(output.study.scale_buckets(), counts, strict=True):
            if not count:
                gaps.append(
                    f"{lost}: no {bucket.name} objects ({_describe_bucket(bucket)}) among the "
                    f"{images} {split} images"
                )
    seeds: dict[str, set[int]] = {}
    for cell in selected:
        seeds.setdefault(cell.variant, set()).add(cell.seed)
    single = [variant for variant, variant_seeds in seeds.items() if len(variant_seeds) == 1]
    if single:
        gaps.append(
            f"the spread between trainings: one seed of {', '.join(single)}, so no difference can "
            "be sure; take more with --set seeds=0,1,2"
        )
    if output.source.images[1] < FEW_IMAGES:
        gaps.append(f"precision of AP: only {output.source.images[1]} validation images")
    return gaps


def _describe_bucket(bucket: ScaleBucket) -> str:
    low, high = (round(bound**0.5) for bound in (bucket.low, min(bucket.high, 1e12)))
    if bucket.high == float("inf"):
        return f"of at least {low} px"
    return f"under {high} px" if not low else f"of {low} to {high} px"
