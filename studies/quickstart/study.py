"""DC5, FPN and the paper's two repairs on generated scenes: minutes on a laptop."""

name = "quickstart"
question = (
    "Which object sizes do the backbone stages of DC5, of FPN and of its two repairs learn from, "
    "by which path, and how do they differ in AP on small, medium and large objects?"
)
expected = (
    "FPN is far better on small objects than DC5, and its AP_L is no better. Under FPN, C2 learns "
    "from almost no large objects by its direct path; under FPN-AuxU and FPN-CFG2 large objects "
    "reach it by short paths too."
)

detector = dict(
    framework="faster_rcnn",
    backbone="resnet18-narrow",
    width=16,
    channels=64,
    size=192,
    proposals=64,
)
# DC5 with the width and the candidates of the pyramid, not with 2048 channels as the paper's.
variants = [dict(name="DC5", options=dict(form="matched")), "FPN", "FPN-AuxU", "FPN-CFG2"]
seeds = [0]
data = dict(scenes=dict(train=800, val=200, size=192, seed=0), size=192)
buckets = [("small", 0, 24**2), ("medium", 24**2, 72**2), ("large", 72**2, None)]
compare_with_paper = (
    "Images are 192 px wide, so sizes are split at 24 and 72 px, three quarters of the bounds of "
    "COCO; what is compared with the paper is the direction."
)
schedule = dict(iterations=500, batch=4, lr=2e-3, warmup=50, clip=10.0)
probe = dict(mode="routes", interval=50)
resources = dict(jobs=2, threads=1)
