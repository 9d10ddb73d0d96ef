"""The options of `fpnprobe probe`, checked without torch: a typo is told at once."""

from collections.abc import Mapping
from pathlib import Path

from fpnprobe.config.mmdet_configs import config_file
from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import buckets_of_sides
from fpnprobe.store.cell import MANIFEST
from fpnprobe.store.runs import is_run

WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": ("routes", "full"),
    "terms": ("none", "loss", "level", "both"),
}
"""The words of each option; `fpnprobe.probing.Probe` takes the same."""


def check_offline_request(
    config: str,
    checkpoint: Path | None,
    *,
    data: Path | None,
    mode: str,
    terms: str,
    bounds: str | None,
) -> None:
    """Check the words of a request, and that the files are there that it names.

    Raises:
        FpnProbeError: If an option is wrong, or there is no such config, folder or file.
    """
    is_trained = (Path(config) / MANIFEST).is_file() or is_run(config)
    if not Path(config).is_dir():
        config_file(config)
    if data is None and not is_trained:
        raise FpnProbeError(f"no images for {config}: give --data, a COCO folder")
    if data is not None and not data.is_dir():
        raise FpnProbeError(f"there is no folder {data}: give a COCO folder as --data")
    if checkpoint is not None and not checkpoint.is_file():
        raise FpnProbeError(f"there is no file {checkpoint}: give trained weights")
    for name, word in (("mode", mode), ("terms", terms)):
        if word not in WORDS[name]:
            raise FpnProbeError(f"{name} {word!r}: expected one of {', '.join(WORDS[name])}")
    if bounds:
        buckets_of_sides(bounds)
