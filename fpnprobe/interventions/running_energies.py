"""The squared norms that a `Balance` goes by, averaged over the steps of a training."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from fpnprobe.interventions.arriving import Arriving
from fpnprobe.interventions.balance import Balance
from fpnprobe.interventions.edges import Place

Energies = npt.NDArray[np.float64]


class RunningEnergies:
    """Exponential means of each bucket's squared gradient norm at the stages of a balance.

    A step's norms are computed on the device and fetched when the next step asks for them, so that
    no step waits.

    Args:
        balance: The rule; without one nothing is kept and no gain is set.
    """

    def __init__(self, balance: Balance | None) -> None:
        self._balance = balance
        self._means: dict[str, Energies] = {}
        self._arriving: Arriving | None = None

    def add_step(self, energies: Tensor) -> None:
        """Take the squared norms of a step, `(stages, buckets)`, without waiting for them."""
        self._arriving = Arriving(energies)

    def after_last_step(self) -> dict[str, Energies]:
        """Return the means by stage; waits until the last step's norms have been computed."""
        if self._arriving is not None:
            energies, self._arriving = self._arriving.wait(), None
            self._update_means(energies)
        return self._means

    def gains(self, iteration: int) -> dict[Place, list[float]]:
        """Return the gains of this step by stage and route: those of the buckets, then 1.

        They follow from the steps before this one; there are none before the balance begins.
        """
        means = self.after_last_step()
        balance = self._balance
        if balance is None or iteration < balance.begin:
            return {}
        return {
            (stage, balance.route): [*balance.gains(mean).tolist(), 1.0]
            for stage, mean in means.items()
        }

    def load(self, state: Mapping[str, Sequence[float]]) -> None:
        """Go on from the means of a checkpoint."""
        self._arriving = None
        self._means = {stage: np.asarray(mean, float) for stage, mean in state.items()}

    def _update_means(self, energies: Energies) -> None:
        balance = self._balance
        if balance is None or not np.isfinite(energies).all():
            return  # an overflow of half precision, which skips the step
        for stage, now in zip(balance.stages, energies, strict=True):
            before = self._means.get(stage)
            decay = balance.decay
            self._means[stage] = now if before is None else decay * before + (1 - decay) * now
