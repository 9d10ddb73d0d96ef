"""A new study to edit: what `fpnprobe init NAME` writes."""

import re
from pathlib import Path

from fpnprobe.config.loading import study_file
from fpnprobe.config.shipped_studies import find_shipped, shipped_folder
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

**Cost.** `fpnprobe plan {folder}` estimates it once a first cell has run.

```
fpnprobe run-study {folder}
```
"""


def write_study(name: str, parent: str | Path = ".", *, source: str | None = None) -> Path:
    """Write a study to edit into the folder `name`, and return the folder.

    Args:
        name: Letters, digits, `-` and `_`, or a path that ends so.
        parent: Where.
        source: A study to start from, by its path or a name of `fpnprobe studies`: its file and
            its README are copied. None for a small one with its keys explained.

    Raises:
        FpnProbeError: If the name does not fit, the folder exists, or there is no such source.
    """
    folder = Path(parent) / name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder.name):
        raise FpnProbeError(
            f"study name {folder.name!r}: expected letters, digits, - and _, such as own"
        )
    if Path(name).parent == Path() and find_shipped(name) is not None:
        raise FpnProbeError(
            f"{name} is a study of the package, which a folder of that name would hide: choose "
            f"another name, such as my-{name}"
        )
    if folder.exists():
        raise FpnProbeError(f"{folder} exists already: choose another name")
    files = _copy_study(source, folder) if source is not None else _fill_templates(folder)
    for file, text in files.items():
        atomic.write_text(folder / file, text)
    return folder


def _fill_templates(folder: Path) -> dict[str, str]:
    """Return the files of a small study with its keys explained."""
    words = {"name": folder.name, "folder": str(folder), "title": folder.name.replace("_", " ")}
    return {
        file: re.sub(r"\{(name|folder|title)\}", lambda match: words[match[1]], text)
        for file, text in (("study.py", STUDY), ("README.md", README))
    }


def _copy_study(source: str, folder: Path) -> dict[str, str]:
    """Return the files of a study as they read in another folder, under its name."""
    file = study_file(source)
    text = re.sub(
        r"^_base_ = ([\"'])(.+?)\1",
        lambda match: f'_base_ = "{_name_base(file.parent / match[2])}"',
        file.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    line = f'name = "{folder.name}"'
    text, renamed = re.subn(r"^name = .+$", line, text, count=1, flags=re.MULTILINE)
    files = {"study.py": text if renamed else f"{text.rstrip()}\n{line}\n"}
    readme = file.with_name("README.md")
    if readme.is_file():
        files["README.md"] = readme.read_text(encoding="utf-8")
    return files


def _name_base(path: Path) -> str:
    """Return what `_base_` says of a study from any folder: its name in the package, or its path.

    >>> _name_base(shipped_folder() / "table3" / ".." / "figure1" / "study.py")
    'figure1'
    """
    path, folder = path.resolve(), shipped_folder().resolve()
    if not path.is_relative_to(folder):
        return str(path)
    return str(path.relative_to(folder).with_suffix("")).removesuffix("/study")
