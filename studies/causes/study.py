"""The paper's two explanations of FPN, tested by changing the backward pass alone."""

_base_ = "../quickstart/study.py"

name = "causes"
question = (
    "Does FPN work because it shortens back-propagation, and do the small objects on the short "
    "paths suppress AP on large ones? And does it help to balance what the short paths carry?"
)
expected = (
    "By the paper, cutting the direct paths to C2..C4 lowers AP (its first claim), and taking the "
    "small objects off them raises AP_L (its second). Balancing the sizes on them should then "
    "raise AP_L too, at a cost in AP_S."
)

variants = [
    "FPN",
    "FPN~balanced",
    "FPN~no-small-direct",
    "FPN~cut-direct",
    "FPN~no-large-direct",
    "FPN~cut-deeper",
]
seeds = [0, 1, 2, 3, 4]
