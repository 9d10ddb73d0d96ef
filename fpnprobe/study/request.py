"""What is asked of a study on the command line."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config import loading, overrides
from fpnprobe.config.schema import Study
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.installed import versions
from fpnprobe.store.trust import check_names_no_code
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.suggestions import select_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a study on the command line.

    Attributes:
        study: the resolved study.
        out: its output folder.
        out_chosen: whether somebody named that folder.
        variants: names to run; empty for all.
        seeds: seeds to run; empty for all.
        repeated: the manifest of the cell that is repeated, or None.
    """

    study: Study
    out: Path
    out_chosen: bool = True
    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    repeated: Mapping[str, Any] | None = None

    def selected(self, result: Output) -> tuple[Cell, ...]:
        """The cells that are asked for."""
        names = [each.name for each in self.study.variants]
        chosen = select_names(self.variants or names, names, "variant")
        known = sorted({seed for name in chosen for seed in self.study.seeds_of(name)})
        for seed in self.seeds:
            if seed not in known:
                raise FpnProbeError(
                    f"seed {seed} is not one of the study's seeds {known}: add it with "
                    "--set seeds=..."
                )
        seeds = self.seeds or known
        return tuple(c for c in result.cells if c.variant in chosen and c.seed in seeds)


def request(
    study: str | Path | None,
    *,
    assignments: Sequence[str] = (),
    out: Path | None = None,
    variants: str = "",
    seeds: str = "",
    manifest: Path | None = None,
    trust: bool = False,
) -> Request:
    """A request from the options of the command line.

    A manifest that names code to execute is refused, unless `trust` says so.

    Raises:
        FpnProbeError: for anything wrong with them.
    """
    if (study is None) == (manifest is None):
        raise FpnProbeError("give either a study, or --from-manifest FILE")
    try:
        wanted = tuple(int(each) for each in seeds.split(",") if each.strip())
    except ValueError:
        raise FpnProbeError(f"--seeds {seeds!r}: expected whole numbers, as 0,1,2") from None
    chosen = tuple(each.strip() for each in variants.split(",") if each.strip())
    for option, text, named in (
        ("--seeds", seeds, len(wanted)),
        ("--variants", variants, len(chosen)),
    ):
        if text and not named:
            raise FpnProbeError(f"{option} {text!r} names none: leave it out for all")
    repeated = None if manifest is None else _manifest(manifest)
    if repeated is None:
        assert study is not None
        loaded = loading.load(study, list(assignments))
    else:
        if not trust:
            check_names_no_code(repeated["config"], source=str(manifest))
        content = overrides.apply(repeated["config"], overrides.parse(assignments))
        loaded = loading.validate(content, source=str(manifest))
    name = loaded.name if repeated is None else f"{loaded.name}-repeated"
    found = Request(
        study=loaded,
        out=out or default_folder(name),
        out_chosen=out is not None,
        variants=chosen,
        seeds=wanted,
        repeated=repeated,
    )
    names = [each.name for each in loaded.variants]
    select_names(found.variants or names, names, "variant")
    return found


def default_folder(name: str) -> Path:
    """Where a study goes that was given no folder: `reports/<name>`, unless git tracks that.

    Reports that are stored in a repository are replaced on purpose only; one's own then goes to
    `reports/mine-<name>`, which git ignores.
    """
    folder = Path("reports") / name
    if not folder.is_dir():
        return folder
    try:
        done = subprocess.run(
            ["git", "ls-files", "--", str(folder)], capture_output=True, text=True, check=False
        )
    except OSError:  # no git: nothing is tracked
        return folder
    return Path("reports") / f"mine-{name}" if done.stdout.strip() else folder


def _manifest(file: Path) -> Mapping[str, Any]:
    """A manifest that tells how to repeat its cell."""
    try:
        content = json.loads(file.read_text())
        if not isinstance(content["config"], dict) or not isinstance(content["data"], dict):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FpnProbeError(
            f"{file} is not the manifest of a cell ({error or 'no config'}): expected the "
            "manifest.json of a cell folder"
        ) from None
    return dict(content)


def differences(manifest: Mapping[str, Any], result: Output) -> list[str]:
    """What differs from the cell that is repeated, in a way that can change its numbers.

    Raises:
        FpnProbeError: if the data are other data.
    """
    if manifest["data"].get("root_hash") != result.source.root_hash:
        raise FpnProbeError(
            f"the data in {result.source.root} are not those of the manifest (hash "
            f"{result.source.root_hash[:12]}, expected "
            f"{str(manifest['data'].get('root_hash'))[:12]}): give the folder with "
            "--set data.root=DIR"
        )
    now, before = versions(), manifest.get("versions", {})
    found = cell_key.difference(before, now)
    if manifest.get("code") != cell_key.code_version():
        found.append(f"code of fpnprobe: {manifest.get('code')} -> {cell_key.code_version()}")
    return found
