"""The files of mmdet's shipped configs, found without importing mmdet: typos are told at once."""

import difflib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError


def config_file(name: str) -> Path:
    """The file of an mmdet config: a path, or a name such as `faster-rcnn_r50_fpn_1x_coco`.

    Raises:
        FpnProbeError: If there is none, with the nearest names.
        EnvironmentProblem: If it is no file and mmdet, which ships the others, is not installed.

    >>> config_file("faster_rcnn/faster-rcnn_r50_fpn_1x_coco").name
    'faster-rcnn_r50_fpn_1x_coco.py'
    """
    file = Path(name).expanduser()
    if file.is_file():
        return file
    root = _shipped_folder(name)
    shipped = {path.stem: path for path in sorted(root.glob("*/*.py")) if "_base_" not in str(path)}
    config_name = name.removeprefix("mmdet::").removesuffix(".py")
    inside = (root / f"{config_name}.py").resolve()
    if inside.is_relative_to(root.resolve()) and inside.is_file():
        return inside
    stem = config_name.rpartition("/")[2]
    if stem not in shipped:
        names = _find_nearest(stem, shipped)
        hint = f"; nearest: {', '.join(names)}" if names else ""
        raise FpnProbeError(f"no mmdet config {name!r}: expected a file or a shipped name{hint}")
    return shipped[stem]


def find_misspelt(config: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Sentences about dotted keys that a config has not, where it has one spelled nearly so.

    A new key is no mistake as such: what is built from the config may take it.

    >>> find_misspelt({"train_cfg": {"max_epochs": 12}}, ["train_cfg.max_epoch", "train_cfg.x"])
    ['train_cfg.max_epoch is new to the config: did you mean max_epochs?']
    """
    sentences = []
    for key in keys:
        words, node = key.split("."), config
        for place, word in enumerate(words):
            if not isinstance(node, Mapping):
                break
            if word not in node:
                nearest = difflib.get_close_matches(word, map(str, node), n=1, cutoff=0.75)
                where = ".".join(words[: place + 1])
                sentences += [f"{where} is new to the config: did you mean {n}?" for n in nearest]
                break
            node = node[word]
    return sentences


def _shipped_folder(name: str) -> Path:
    spec = find_spec("mmdet")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem(
            f"no file {name}, and mmdet, whose configs have names, is not installed: give a file, "
            "or pip install 'fpnprobe[mmdet]'"
        )
    return Path(spec.origin).parent / ".mim" / "configs"


def _find_nearest(stem: str, shipped: dict[str, Path]) -> list[str]:
    """The three nearest names; for no more than a family's name, the shortest of that family."""
    families = sorted({path.parent.name for path in shipped.values()})
    family = difflib.get_close_matches(stem.replace("-", "_"), families, n=1, cutoff=0.8)
    members = [
        name
        for name, path in shipped.items()
        if path.parent.name in family and not name.endswith("_tta")  # test-time settings alone
    ]
    shortest = sorted(members, key=lambda name: (len(name), name))[:3]
    return shortest or difflib.get_close_matches(stem, shipped, n=3)
