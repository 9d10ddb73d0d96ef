"""GPUs by name, as their makers describe them: what a forecast rests on."""

from dataclasses import dataclass

from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its maker describes it: dense TFLOP/s, GB of memory, GB/s.

    `single` is what float32 training uses: TF32 where there is any.
    """

    half: float
    single: float
    memory: float
    bandwidth: float


GPUS = {
    "v100": Gpu(125, 15.7, 32, 900),
    "t4": Gpu(65, 8.1, 16, 320),
    "rtx3090": Gpu(71, 35.6, 24, 936),
    "a100-40gb": Gpu(312, 156, 40, 1555),
    "a100": Gpu(312, 156, 80, 2039),
    "l4": Gpu(121, 60, 24, 300),
    "l40s": Gpu(362, 183, 48, 864),
    "rtx4090": Gpu(165, 82.6, 24, 1008),
    "h100": Gpu(989, 494, 80, 3350),
    "h200": Gpu(989, 494, 141, 4800),
}


def find_gpu(name: str) -> Gpu:
    """The GPU of that name.

    Raises:
        FpnProbeError: If it is not known, with the nearest names.

    >>> find_gpu("H100").memory
    80
    """
    if name.lower() not in GPUS:
        raise FpnProbeError(f"--gpu {name!r}: {suggest(name.lower(), GPUS)}")
    return GPUS[name.lower()]
