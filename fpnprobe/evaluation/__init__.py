"""The AP of a detector by size of object, with bootstrap intervals.

>>> from fpnprobe.evaluation import evaluate
>>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "ring"}],
...     "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "area": 400}]}
>>> evaluate(truth, [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "score": 1}])
Evaluation(bbox, 1 images, 1 detections, hotcoco: AP 1.000, AP_50 1.000, AP_75 1.000, \
AP_S 1.000, AP_M nan, AP_L nan, AR_1 1.000, AR_10 1.000, AR_100 1.000, AR_S 1.000, AR_M nan, \
AR_L nan)
"""

from fpnprobe.evaluation.comparison import Comparison, compare
from fpnprobe.evaluation.detections import Detections
from fpnprobe.evaluation.error_types import error_types
from fpnprobe.evaluation.evaluation import Evaluation, evaluate
from fpnprobe.evaluation.ground_truth import GroundTruth
from fpnprobe.evaluation.run_comparison import compare_runs
from fpnprobe.evaluation.size_curve import size_curve

__all__ = [
    "Comparison",
    "Detections",
    "Evaluation",
    "GroundTruth",
    "compare",
    "compare_runs",
    "error_types",
    "evaluate",
    "size_curve",
]
