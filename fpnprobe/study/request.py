"""The request that a command line makes of a study."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpnprobe.config import loading, overrides
from fpnprobe.config.schema import Study
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.documents import read_object
from fpnprobe.store.installed import versions
from fpnprobe.store.trust import check_names_no_code
from fpnprobe.study.folder import cell_key
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.suggestions import select_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request that a command line makes of a study.

    Attributes:
        study: The resolved study.
        out: Its output folder.
        out_chosen: Whether somebody named that folder.
        variants: Names to run; empty for all.
        seeds: Seeds to run; empty for all.
        repeated: The manifest of the cell that is repeated, or None.
    """

    study: Study
    out: Path
    out_chosen: bool = True
    variants: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    repeated: Mapping[str, Any] | None = None

    def check_names(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The variants and seeds that are asked for.

        Raises:
            FpnProbeError: For one that the study has not.
        """
        names = [variant.name for variant in self.study.variants]
        chosen_variants = select_names(self.variants or names, names, "variant")
        known_seeds = sorted(
            {seed for name in chosen_variants for seed in self.study.seeds_of(name)}
        )
        for seed in self.seeds:
            if seed not in known_seeds:
                raise FpnProbeError(
                    f"seed {seed} is not one of the study's seeds {known_seeds}: add it with "
                    "--set seeds=..."
                )
        return chosen_variants, self.seeds or tuple(known_seeds)

    def selected(self, output: Output) -> tuple[Cell, ...]:
        """The cells that are asked for."""
        chosen_variants, seeds = self.check_names()
        return tuple(c for c in output.cells if c.variant in chosen_variants and c.seed in seeds)


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
        FpnProbeError: For anything wrong with them.
    """
    if (study is None) == (manifest is None):
        raise FpnProbeError("give either a study, or --from-manifest FILE")
    try:
        chosen_seeds = tuple(int(text) for text in seeds.split(",") if text.strip())
    except ValueError:
        raise FpnProbeError(f"--seeds {seeds!r}: expected whole numbers, as 0,1,2") from None
    chosen_variants = tuple(text.strip() for text in variants.split(",") if text.strip())
    for option, text, count in (
        ("--seeds", seeds, len(chosen_seeds)),
        ("--variants", variants, len(chosen_variants)),
    ):
        if text and not count:
            raise FpnProbeError(f"{option} {text!r} names none: leave it out for all")
    repeated = None if manifest is None else _read_manifest(manifest)
    if repeated is None:
        assert study is not None
        loaded = loading.load(study, list(assignments))
    else:
        if not trust:
            check_names_no_code(repeated["config"], source=str(manifest))
        content = overrides.apply(repeated["config"], overrides.parse(assignments))
        loaded = loading.validate(content, source=str(manifest))
    name = loaded.name if repeated is None else f"{loaded.name}-repeated"
    selection = Request(
        study=loaded,
        out=out or default_folder(name),
        out_chosen=out is not None,
        variants=chosen_variants,
        seeds=chosen_seeds,
        repeated=repeated,
    )
    names = [variant.name for variant in loaded.variants]
    for name in selection.variants:
        if name not in names and {*name.split()} <= {*names}:
            raise FpnProbeError(f"--variants {name!r}: expected commas between names, as DC5,FPN")
    selection.check_names()
    return selection


def default_folder(name: str) -> Path:
    """Choose the folder of a study that was given none: `reports/<name>`, unless git tracks that.

    Reports that are stored in a repository are replaced on purpose only; one's own then goes to
    `reports/mine-<name>`, which git ignores.
    """
    folder = Path("reports") / name
    if not folder.is_dir():
        return folder
    try:
        listing = subprocess.run(
            ["git", "ls-files", "--", str(folder)], capture_output=True, text=True, check=False
        )
    except OSError:  # no git: nothing is tracked
        return folder
    return Path("reports") / f"mine-{name}" if listing.stdout.strip() else folder


def _read_manifest(file: Path) -> Mapping[str, Any]:
    """A manifest that tells how to repeat its cell."""
    content, problem = dict[str, Any](), ""
    try:
        content = read_object(file)
    except FpnProbeError as error:
        problem = str(error).removeprefix(f"{file} ")
    if not problem and not all(isinstance(content.get(key), dict) for key in ("config", "data")):
        problem = "it has no config or no data"
    if problem:
        raise FpnProbeError(
            f"{file} is not the manifest of a cell ({problem}): expected the manifest.json of a "
            "cell folder"
        )
    return content


def differences(manifest: Mapping[str, Any], output: Output) -> list[str]:
    """List what differs from the repeated cell in a way that can change its numbers.

    Raises:
        FpnProbeError: If the data are other data.
    """
    if manifest["data"].get("root_hash") != output.source.root_hash:
        raise FpnProbeError(
            f"the data in {output.source.root} are not those of the manifest (hash "
            f"{output.source.root_hash[:12]}, expected "
            f"{str(manifest['data'].get('root_hash'))[:12]}): give the folder with "
            "--set data.root=DIR"
        )
    now, before = versions(), manifest.get("versions") or {}
    changes = cell_key.difference(before, now)
    if manifest.get("code") != cell_key.code_version():
        changes.append(f"code of fpnprobe: {manifest.get('code')} -> {cell_key.code_version()}")
    return changes
