"""The slow twin of the bootstrap: a resample as the data set it is, images copied."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.ground_truth import GroundTruth, Ints


def copied(
    truth: GroundTruth, detections: Detections, counts: npt.NDArray[np.integer]
) -> tuple[GroundTruth, Detections]:
    """The data set in which image i appears `counts[i]` times, copies side by side.

    Evaluating it is what `resampled_ap` does for one row of counts, thousands of times slower.
    """
    before = np.cumsum(counts) - counts
    objects, object_image = _copy_rows(truth.image, counts, before)
    detection_rows, detection_image = _copy_rows(detections.image, counts, before)
    return (
        replace(
            truth,
            image_ids=np.arange(1, int(counts.sum()) + 1),
            sizes=truth.sizes.repeat(counts, axis=0),
            image=object_image,
            category=truth.category[objects],
            boxes=truth.boxes[objects],
            areas=truth.areas[objects],
            crowd=truth.crowd[objects],
            segmentations=tuple(truth.segmentations[i] for i in objects),
        ),
        Detections(
            image=detection_image,
            category=detections.category[detection_rows],
            boxes=detections.boxes[detection_rows],
            areas=detections.areas[detection_rows],
            scores=detections.scores[detection_rows],
            masks=tuple(detections.masks[i] for i in detection_rows) if detections.masks else (),
        ),
    )


def _copy_rows(
    image: Ints, counts: npt.NDArray[np.integer], before: npt.NDArray[np.integer]
) -> tuple[Ints, Ints]:
    """Return the rows of all copies in file order, and the new image of each."""
    times = counts[image]
    rows = np.repeat(np.arange(len(image)), times)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    return rows, (before[image[rows]] + copy).astype(np.int64)
