"""A sweep of tau of Eq. 10: from which loss on should an auxiliary signal be damped?"""

_base_ = "../variants/study.py"

name = "uncertainty"
question = (
    "From which loss value on (tau of Eq. 10) should the auxiliary signals be damped, how much is "
    "then left of them, and does it give back the AP_S that plain auxiliary losses cost?"
)
expected = (
    "Written before the first run. At the smallest tau the auxiliary losses are nearly off and "
    "FPN-AuxU is FPN; at the largest alpha stays near 0 and it is FPN-Aux. Between them alpha "
    "rises as tau falls, for classification and for boxes, and AP_S lies above that of FPN-Aux."
)


def _swept(tau: float) -> dict[str, object]:
    return dict(name=f"FPN-AuxU tau={tau}", build="FPN-AuxU", options=dict(tau=tau))


variants = ["FPN", "FPN-Aux", *(_swept(tau) for tau in (0.05, 0.1, 0.2, 0.5, 1.0))]
seeds = [0]
probe = dict(mode="routes", interval=50)
resources = dict(jobs=1, threads=1)
