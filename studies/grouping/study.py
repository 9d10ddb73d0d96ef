"""The forms of feature grouping that the paper's text allows, on generated scenes: which train?"""

name = "grouping"
question = (
    "Jin et al. print M_k = G_k(C'_k) and P'' = f_w(P') P' + f_w(P^') P^' but not how G_k and f_w "
    "are built or begin. Which forms train, and what is wrong with the others?"
)
expected = (
    "The default (M_k from a rotation, in later stages a tenth of one, with nearly the step of a "
    "convolution, for it was d = r then; f_w as two whole blocks that begin as the number one) is "
    "not below FPN. M_k from "
    "Xavier weights at the full rate is, for one step moves it by half. An f_w that begins at "
    "random is, for it begins by hiding half of the map, and one without its second norm is, for "
    "nothing bounds what a step does to it."
)

detector = dict(
    framework="faster_rcnn",
    backbone="resnet18-narrow",
    width=16,
    channels=64,
    size=192,
    proposals=64,
)
_gate = dict(weight_activation="sigmoid", weight_norm=False, weight_outputs="one")
_as_before = dict(swap_start="xavier", swap_rate="full")
_forms = {
    # f_w, with the default M_k
    "f_w constant": dict(weight_activation="constant"),
    "f_w from random": dict(weight_start="random"),
    "f_w without second norm": dict(weight_norm=False),
    "f_w gate of before": dict(_gate, weight_start="random"),
    "f_w gate from constant": _gate,
    "f_w gate with second norm": dict(weight_activation="sigmoid", weight_outputs="one"),
    "f_w one weight a location": dict(weight_outputs="one"),
    "f_w softmax over stages": dict(weight_activation="softmax"),
    "f_w for each stage": dict(weight_per_stage=True),
    # M_k, with the default f_w
    "M_k Xavier at full rate": _as_before,
    "M_k Xavier at a convolution's rate": dict(swap_start="xavier", swap_rate="convolution"),
    "M_k identity": dict(swap_start="identity"),
    "M_k rotation at full rate": dict(swap_rate="full"),
    "M_k rotation at a convolution's rate": dict(swap_rate="convolution"),
    "M_k Xavier at the default's rate": dict(swap_start="xavier"),
    "M_k pooled last": dict(swap_form="pool-last"),
    "all as before": {**_gate, **_as_before, "weight_start": "random", "later_gain": 1.0},
}
_deep_forms = {
    "FPN-CFG3 whole later stages": dict(later_gain=1.0),
    "FPN-CFG3 average pooling": dict(later_gain=1.0, finer="average"),
}
variants = [
    "FPN",
    "FPN-CFG1",
    "FPN-CFG2",
    "FPN-CFG3",
    "FPN-Wide",
    "FPN-Wide1",
    *(dict(name=name, build="FPN-CFG2", options=options) for name, options in _forms.items()),
    *(dict(name=name, build="FPN-CFG3", options=options) for name, options in _deep_forms.items()),
]
seeds = [0]
data = dict(scenes=dict(train=800, val=200, size=192, seed=0), size=192)
buckets = [("small", 0, 24**2), ("medium", 24**2, 72**2), ("large", 72**2, None)]
schedule = dict(iterations=500, batch=4, lr=2e-3, warmup=50, clip=10.0)
probe = dict(mode=None)
resources = dict(jobs=2, threads=1)

# three times as long: what remains of the differences between one, two and three stages
presets = {"longer": {
    "question": "Does what grouping wins or costs in 500 iterations remain after 1,500?",
    "expected": (
        "All are well above their AP after 500 iterations. FPN-CFG2 and FPN-CFG3 are still above "
        "FPN, by less than the 2 to 10 AP of the short training; FPN-CFG1 is within 2 AP of FPN. "
        "None is below FPN by more than seeds differ, 6 AP."
    ),
    "variants": ["FPN", "FPN-CFG1", "FPN-CFG2", "FPN-CFG3"],
    "schedule.iterations": 1500,
    "schedule.warmup": 150,
    "probe.snapshots": [0.33, 0.67],
}}  # fmt: skip
