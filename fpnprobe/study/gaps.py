"""What a study will not be able to say, told before it costs anything."""

from collections.abc import Sequence

from fpnprobe.scales import ScaleBucket
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output

FEW_IMAGES = 500


def find_gaps(result: Output, selected: Sequence[Cell]) -> list[str]:
    """Find what the report of these cells will lack: sizes without objects, and spread of seeds."""
    gaps = []
    splits = (("training", "their gradient"), ("validation", "their AP"))
    for (split, lost), images, counts in zip(
        splits, result.source.images, result.source.by_bucket, strict=False
    ):
        for bucket, count in zip(result.study.scale_buckets(), counts, strict=True):
            if not count:
                gaps.append(
                    f"{lost}: no {bucket.name} objects ({_describe(bucket)}) among the {images} "
                    f"{split} images"
                )
    seeds: dict[str, set[int]] = {}
    for cell in selected:
        seeds.setdefault(cell.variant, set()).add(cell.seed)
    single = [variant for variant, found in seeds.items() if len(found) == 1]
    if single:
        gaps.append(
            f"the spread between trainings: one seed of {', '.join(single)}, so no difference can "
            "be sure; take more with --set seeds=0,1,2"
        )
    if result.source.images[1] < FEW_IMAGES:
        gaps.append(f"precision of AP: only {result.source.images[1]} validation images")
    return gaps


def _describe(bucket: ScaleBucket) -> str:
    low, high = (round(bound**0.5) for bound in (bucket.low, min(bucket.high, 1e12)))
    if bucket.high == float("inf"):
        return f"of at least {low} px"
    return f"under {high} px" if not low else f"of {low} to {high} px"
