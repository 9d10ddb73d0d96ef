"""The report as plain text: what assistants, terminals and diffs read."""

from collections.abc import Iterator, Sequence

from fpnprobe.report.page.content import Block, Figure, Report, Table, Text
from fpnprobe.report.page.glossary import words_of

LONGEST = 60
"""Rows of a table beyond which the text points to its CSV."""


def markdown(report: Report) -> str:
    """All that the page says, without its pictures; each figure names its table."""
    lines = [f"# {report.question or report.title}", "", report.answer, ""]
    if report.expected:
        lines += [f"Expected before the run: {report.expected}", ""]
    lines += [f"- {n.label}: {n.value} ({n.detail})".replace(" ()", "") for n in report.numbers]
    if report.warnings:
        lines += ["", "## Before you believe a number", ""]
        lines += [f"- {warning}" for warning in report.warnings]
    lines.append("")
    for block in report.first:
        lines += _write_block(block)
    for section in report.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += _write_block(block)
    words = words_of(texts_of(report))
    if words:
        lines += ["## Words", "", *(f"- **{word}**: {meaning}" for word, meaning in words), ""]
    if report.origin:
        lines += [report.origin, ""]
    return "\n".join(lines)


def in_columns(blocks: Sequence[Block]) -> str:
    """The first table among the blocks, its columns set for a terminal; "" without one."""
    table = next((block for block in blocks if isinstance(block, Table)), None)
    if table is None:
        return ""
    lines = [list(table.headers.values()), *table.rows()]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.headers))]
    numeric = [False, *[True] * (len(widths) - 1)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def texts_of(report: Report) -> list[str]:
    """Every sentence and heading of a report."""
    texts = [report.answer, report.expected, *report.warnings]
    texts += [text for n in report.numbers for text in (n.label, n.detail)]
    for block in report.blocks():
        if isinstance(block, Text):
            texts.append(block.body)
        else:
            texts += [block.title, block.caption]
        if isinstance(block, Table):
            texts += [*block.headers.values(), *(cell for row in block.rows() for cell in row)]
    return texts


def _write_block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield from (block.body, "")
        return
    yield from (f"### {block.title}", "", block.caption, "")
    if isinstance(block, Figure):
        yield from (f"Picture: figures/{block.name}.svg; numbers: tables/{block.name}.csv", "")
        return
    rows = block.rows()
    if len(rows) > LONGEST:
        yield from (f"{len(rows)} rows: tables/{block.name}.csv", "")
    elif rows:
        numeric = block.numeric()
        yield _write_row(list(block.headers.values()))
        yield _write_row(["---:" if line else "---" for line in numeric])
        yield from map(_write_row, rows)
        yield ""


def _write_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
