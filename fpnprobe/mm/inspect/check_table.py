"""Results of `fpnprobe check` as a table, as JSON, and as the one line about what is wrong."""

import json
from collections.abc import Sequence

from fpnprobe.mm.inspect.check.result import RESIDUALS, CheckResult

_WORDS = {
    "loss": "the parts of the loss do not add up to it: a loss term is counted twice or not at all",
    "parameter": "the buckets do not add up to the gradient of the stage parameters",
    "activation": "the buckets do not add up to the gradient at the stage outputs",
    "routes": "the routes do not add up to the gradient at a stage output",
}
_COLUMNS = ("config", *RESIDUALS, "labels", "ok")


def problem(results: Sequence[CheckResult]) -> str | None:
    """One line about the first result that is not ok, or None."""
    for result in results:
        if result.error:
            return f"{result.config}: {result.error}"
        if not result.ok:
            worst = max(RESIDUALS, key=result.excess)
            value = getattr(result.residuals, worst)
            return (
                f"{result.config}: the {worst} residual is {value:.1e}, expected at most "
                f"{result.tolerance:.0e}: {result.sentence or _WORDS[worst]}"
            )
    return None


def row(result: CheckResult) -> list[str]:
    """Cells of one config."""
    name = _shorten_name(result.config)
    if result.error:
        return [name, *["-"] * len(RESIDUALS), "-", f"NO: {result.error}"]
    loss, *residuals = (
        getattr(result.residuals, name_of_residual) for name_of_residual in RESIDUALS
    )
    cells = [f"{loss:.1e}" if not result.unlabeled else f"{100 * result.unlabeled:.2g} % rest"]
    cells += [f"{value:.1e}" for value in residuals]
    return [name, *cells, result.labels, "yes" if result.ok else "NO"]


def head(names: Sequence[str], *, markdown: bool = False) -> list[str]:
    """First lines of the table of these configs."""
    if markdown:
        rule = ["---", *["---:"] * (len(_COLUMNS) - 1)]
        return [_write_markdown(_COLUMNS), _write_markdown(rule)]
    return [_write_aligned(_COLUMNS, names)]


def line(result: CheckResult, names: Sequence[str], *, markdown: bool = False) -> str:
    """The line of one of these configs, as aligned text or as Markdown."""
    return _write_markdown(row(result)) if markdown else _write_aligned(row(result), names)


def table(results: Sequence[CheckResult], *, markdown: bool = False) -> str:
    """Return the whole table."""
    names = [result.config for result in results]
    lines = (line(result, names, markdown=markdown) for result in results)
    return "\n".join([*head(names, markdown=markdown), *lines])


def _write_markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write_aligned(cells: Sequence[str], names: Sequence[str]) -> str:
    width = max(len(_shorten_name(name)) for name in [*names, "config"])
    first, *middle, last = cells
    return "  ".join([first.ljust(width), *(cell.rjust(11) for cell in middle), last])


def _shorten_name(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".py")


def as_json(results: Sequence[CheckResult]) -> str:
    """Return one object for one config, a list for several."""
    content = [result.to_dict() for result in results]
    return json.dumps(content[0] if len(content) == 1 else content, indent=2)
