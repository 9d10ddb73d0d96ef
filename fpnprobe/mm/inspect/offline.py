"""The command `fpnprobe probe`: opens a detector and its images, and measures them offline."""

from pathlib import Path

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.open_detector import open_given
from fpnprobe.mm.inspect.probe_images import OfflineResult, probe_images
from fpnprobe.probing.probe import Probe
from fpnprobe.scales import buckets_of_sides


def probe_offline(
    config: str,
    checkpoint: Path | None,
    *,
    data: Path | None,
    out: Path,
    split: str,
    images: int,
    batch: int,
    size: int | None,
    mode: str,
    terms: str,
    bounds: str | None,
    seed: int,
    device: str,
    area: str | None = None,
    trust: bool = False,
) -> OfflineResult:
    """Run `fpnprobe probe`, whose options document the arguments.

    Raises:
        FpnProbeError: If an argument is wrong or the model, weights and data do not fit.
    """
    if images < 1 or batch < 1:
        raise FpnProbeError(f"images={images}, batch={batch}: expected at least 1")
    probe = Probe(mode, terms)  # type: ignore[arg-type] # checked there
    buckets = buckets_of_sides(bounds) if bounds else None
    opened = open_given(
        config,
        checkpoint,
        data=data,
        split=split,
        area=area,
        size=size,
        device=device,
        seed=seed,
        trust=trust,
    )
    result = probe_images(
        opened.detector,
        opened.images,
        out,
        count=images,
        batch=batch,
        probe=probe,
        buckets=buckets or opened.buckets,
        cell=opened.cell,
        seed=seed,
    )
    checked = None if checkpoint is None else str(checkpoint)
    names = {"config": config, "checkpoint": checked, "ledger": str(out / "ledger.parquet")}
    return OfflineResult(result.ledger, {**names, **result.summary})
