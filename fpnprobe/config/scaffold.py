"""A new study to edit: what `fpnprobe init NAME` writes."""

import re
from pathlib import Path

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

STUDY = '''"""{title}: a study to edit. Run it with `fpnprobe run-study {folder}`."""

name = "{name}"
question = "Which object sizes do the backbone stages learn from, and what does that do to AP?"
expected = ""  # what you expect, before you run it

# An mmdet config, a file or a shipped name: dict(config="faster-rcnn_r50_fpn_1x_coco").
detector = dict(
    framework="faster_rcnn",
    backbone="resnet18-narrow",
    width=16,
    channels=64,
    size=192,
    proposals=64,
)
variants = ["FPN", "FPN-CFG1", "FPN-Aux"]  # also DC5, FPN-AuxU, FPN-Wide, FPN~cut-direct, ...
seeds = [0]

# Generated scenes. Your own data instead: dict(root="/data/coco", size=(480, 800)) and COCO's
# sizes, by leaving `buckets` out.
data = dict(scenes=dict(train=800, val=200, size=192, seed=0), size=192)
buckets = [("small", 0, 24**2), ("medium", 24**2, 72**2), ("large", 72**2, None)]

schedule = dict(iterations=500, batch=4, lr=2e-3, warmup=50, clip=10.0)
probe = dict(mode="routes", interval=50)
resources = dict(jobs=2, threads=1)
'''
README = """# {title}

**Question.** Which object sizes do the backbone stages learn from, and what does that do to AP?

**Expected answer.** Write it here before you run it.

**Cost.** `fpnprobe plan {folder}` estimates it.

```
fpnprobe run-study {folder}
```
"""


def write_study(name: str, parent: str | Path = ".") -> Path:
    """Write a study to edit into the folder `name`, and return the folder.

    Args:
        name: Letters, digits, `-` and `_`, or a path that ends so.
        parent: Where.

    Raises:
        FpnProbeError: if the name does not fit, or the folder exists.
    """
    folder = Path(parent) / name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder.name):
        raise FpnProbeError(
            f"study name {folder.name!r}: expected letters, digits, - and _, such as own"
        )
    if folder.exists():
        raise FpnProbeError(f"{folder} exists already: choose another name")
    words = {"name": folder.name, "folder": str(folder), "title": folder.name.replace("_", " ")}
    for file, text in (("study.py", STUDY), ("README.md", README)):
        filled = re.sub(r"\{(name|folder|title)\}", lambda m: words[m[1]], text)
        atomic.write_text(folder / file, filled)
    return folder
