"""The ledger's records of one sample: columns that they share, and one row for each label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fpnprobe.ledger import ConflictRecord, GradientRecord
from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.sample import Residuals

Floats = npt.NDArray[np.float64]
_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The columns that all records of a sample share."""

    iteration: int
    epoch: int
    labels: tuple[str, ...]
    objects: tuple[int, ...]
    residuals: Residuals

    def record(
        self,
        key: GradientKey,
        bucket: str,
        term: str = "all",
        *,
        l2: float = _NAN,
        share: float = _NAN,
        rows: int = 0,
        state: str = "measured",
    ) -> GradientRecord:
        """Write one row: of a bucket, or of `all` together."""
        if bucket == "all":
            objects = sum(self.objects) if min(self.objects) >= 0 else -1
        else:
            objects = dict(zip(self.labels, self.objects, strict=False)).get(bucket, 0)
        return GradientRecord(
            iteration=self.iteration,
            epoch=self.epoch,
            tap=key.tap,
            level=key.level,
            kind=key.kind,
            route=key.route,
            bucket=bucket,
            term=term,
            l2=float(l2),
            share=float(share),
            n_objects=objects,
            n_rows=rows,
            state=state,
            residual_loss=self.residuals.loss,
            residual_gradient=self.residuals.gradient,
            residual_routes=self.residuals.routes,
        )

    def records(
        self, key: GradientKey, term: str, squares: Floats, rows: Sequence[int], state: str
    ) -> Iterator[GradientRecord]:
        """One row for each label; the share is among the object buckets, without background."""
        whole = squares[:-1].sum()
        for i, label in enumerate(self.labels):
            is_object = i < len(self.labels) - 1
            share = squares[i] / whole if is_object and whole > 0 else _NAN
            l2 = np.sqrt(squares[i])
            yield self.record(key, label, term, l2=l2, share=share, rows=rows[i], state=state)

    def conflicts(self, key: GradientKey, gram: Floats) -> Iterator[ConflictRecord]:
        """Cosines between the gradients of two buckets, where both have one."""
        norms = np.sqrt(np.diag(gram))
        for a, b in zip(*np.triu_indices(len(self.labels), k=1), strict=True):
            if norms[a] > 0 and norms[b] > 0:
                yield ConflictRecord(
                    iteration=self.iteration,
                    tap=key.tap,
                    kind=key.kind,
                    bucket_a=self.labels[a],
                    bucket_b=self.labels[b],
                    cosine=float(np.clip(gram[a, b] / (norms[a] * norms[b]), -1, 1)),
                )
