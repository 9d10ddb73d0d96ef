"""Interventions: change the backward pass on a chosen path, keep the forward, watch AP.

The probe describes what each stage learns from; an intervention tests what follows from it. It
multiplies the gradient of chosen objects on chosen routes into chosen stages, in training only:
the forward pass, the loss value and the evaluation are untouched to the last bit.

>>> cut = Intervention.of([{"stages": "C2..C4", "route": "direct", "gain": 0.0}])
>>> cut
Intervention(C2..C4 direct all x0)
>>> sorted(READY_MADE)
['balanced', 'cut-deeper', 'cut-direct', 'no-large-direct', 'no-small-direct']
"""

from fpnprobe.interventions.balance import Balance
from fpnprobe.interventions.gains import Gain
from fpnprobe.interventions.intervention import Intervention
from fpnprobe.interventions.named import READY_MADE, intervention

__all__ = ["READY_MADE", "Balance", "Gain", "Intervention", "intervention"]
