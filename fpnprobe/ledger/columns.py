"""Every column of the tables: its type and its definition."""

from collections.abc import Mapping

COLUMNS: Mapping[str, tuple[str, str]] = {
    "study": ("string", "name of the study"),
    "variant": ("string", "name of the variant"),
    "seed": ("int64", "seed of the cell"),
    "iteration": ("int64", "0-based training step that was measured"),
    "epoch": ("int64", "0-based epoch of that step"),
    "tap": ("string", "C2..C5: output of a backbone stage; P2..: level of the pyramid"),
    "level": ("int64", "number of the tap"),
    "kind": (
        "string",
        "activation: gradient at the tap; parameter: of the stage's parameters; update: what Adam "
        "makes of that, lr g / (sqrt(v) + eps)",
    ),
    "route": ("string", "total, or its parts: direct, auxiliary, deeper"),
    "bucket": ("string", "size of the objects, background, or all: the undivided gradient"),
    "term": ("string", "loss term (rpn, roi, roi_s0.., dense, mask, aux2..), level L2.., or all"),
    "l2": ("float64", "Euclidean norm of that gradient: unscaled, before clipping, global batch"),
    "share": ("float64", "l2^2 / sum of l2^2 over the object buckets, in [0, 1]"),
    "n_objects": ("int64", "annotated objects of the bucket in the batch"),
    "n_rows": ("int64", "rows of the loss (anchors, RoIs, ...) with this label, background: used"),
    "state": (
        "string",
        "measured, would_arrive (at a frozen stage), frozen (l2 is NaN); not to use: unsound, "
        "nonfinite, underflow",
    ),
    "residual_loss": ("float64", "|L - sum of L_b| / |L| of the iteration"),
    "residual_gradient": ("float64", "worst |g - sum of g_b| / |g|; NaN where not audited"),
    "residual_routes": ("float64", "worst |g - sum over routes| / |g|; NaN without routes"),
}
CONFLICT_COLUMNS: Mapping[str, tuple[str, str]] = {
    **{name: COLUMNS[name] for name in ("study", "variant", "seed", "iteration", "tap", "kind")},
    "bucket_a": ("string", "first bucket"),
    "bucket_b": ("string", "second bucket"),
    "cosine": ("float64", "cosine of the angle between the two gradients, in [-1, 1]"),
}
KEY = ("study", "variant", "seed", "iteration", "tap", "kind", "route", "bucket", "term")
CONFLICT_KEY = ("study", "variant", "seed", "iteration", "tap", "kind", "bucket_a", "bucket_b")
