"""A run folder is data: what its configuration names is imported or executed only if asked for."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError

_SHIPPED_NAME = re.compile(r"(mmdet::)?[\w-]+(/[\w.-]+)?")


def check_names_no_code(config: Mapping[str, Any], *, source: str | Path) -> None:
    """Refuse a stored configuration that names modules to import or config files to execute.

    A config that mmdet ships is a name; anything that is, or looks like, a file of the user's
    machine or of the run folder is refused.

    Args:
        config: A cell's configuration, as in its manifest.
        source: Where it was read, for the message.

    Raises:
        FpnProbeError: With what it names, and that `--trust` allows it.
    """
    for kind, name in _find_code(config):
        raise FpnProbeError(
            f"{source} names {kind} {name!r:.120}, which would be executed: a run folder is data. "
            "If you trust who wrote it, say --trust (in Python trust=True)"
        )


def _find_code(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if config.get("imports"):
        imports = config["imports"]
        yield "the module", imports[0] if isinstance(imports, list | tuple) else imports
    variants = config.get("variants") or ()
    specs = [config.get("detector")]
    if isinstance(variants, list | tuple):
        specs += [variant.get("detector") for variant in variants if isinstance(variant, Mapping)]
    for spec in specs:
        name = spec.get("config") if isinstance(spec, Mapping) else None
        if name is not None and not _is_shipped_name(name):
            yield "the config file", name


def _is_shipped_name(name: Any) -> bool:
    if not isinstance(name, str) or not _SHIPPED_NAME.fullmatch(name) or ".." in name:
        return False
    return not Path(name).exists()  # a file of that name would be taken first
