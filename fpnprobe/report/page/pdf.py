"""The same report as PDF: the content as JSON, one typst file, vector figures."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import fontManager, get_font

from fpnprobe import __version__
from fpnprobe.errors import EnvironmentProblem
from fpnprobe.report.page.content import Block, Figure, Report, Text
from fpnprobe.report.page.drawings import Drawing
from fpnprobe.report.page.glossary import words_of
from fpnprobe.report.page.markdown import texts_of

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


def letters_beyond_our_fonts(report: Report) -> str:
    """The characters of a report that DejaVu Sans lacks, such as Chinese ones and emoji."""
    known = get_font(str(FONTS / "DejaVuSans.ttf")).get_charmap()
    texts = [report.title, report.question, *texts_of(report)]
    return "".join(sorted({c for text in texts for c in text if ord(c) not in known and c > " "}))


def letters_without_a_font(report: Report) -> str:
    """Those of `letters_beyond_our_fonts` that no font of this machine has: boxes in the PDF."""
    left = set(letters_beyond_our_fonts(report))
    for entry in fontManager.ttflist if left else ():
        try:
            left -= {
                letter for letter in left if ord(letter) in get_font(entry.fname).get_charmap()
            }
        except (OSError, RuntimeError):
            continue  # a font file that matplotlib cannot read
        if not left:
            break
    return "".join(sorted(left))


def typeset(report: Report, drawings: Mapping[str, Drawing]) -> bytes:
    """The PDF.

    Raises:
        EnvironmentProblem: if the engine is missing or refuses the document, in one line.
    """
    try:
        import typst
    except ImportError as error:
        raise EnvironmentProblem(
            "report.pdf is not written: the package typst is missing; pip install typst"
        ) from error
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name, drawing in drawings.items():
            (root / f"{name}.svg").write_text(drawing.wide, encoding="utf-8")
        (root / "report.json").write_text(json.dumps(_content(report)), encoding="utf-8")
        template = (files("fpnprobe.report.page") / "template.typ").read_text(encoding="utf-8")
        (root / "report.typ").write_text(template, encoding="utf-8")
        try:
            content: bytes = typst.compile(
                str(root / "report.typ"),
                root=folder,
                font_paths=[str(FONTS)],
                # The same bytes on every machine, unless a text needs letters that we do not have.
                ignore_system_fonts=not letters_beyond_our_fonts(report),
                timestamp=0,
            )
        except (typst.TypstError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EnvironmentProblem(f"report.pdf is not written: typst says {reason}") from error
    return content


def _content(report: Report) -> dict[str, Any]:
    return {
        "version": __version__,
        "title": report.title,
        "question": report.question or report.title,
        "expected": report.expected,
        "answer": report.answer,
        "numbers": [
            {"label": n.label, "value": n.value, "detail": n.detail} for n in report.numbers
        ],
        "warnings": list(report.warnings),
        "origin": report.origin,
        "words": [{"word": w, "meaning": m} for w, m in words_of(texts_of(report))],
        "first": [_block(block) for block in report.first],
        "sections": [
            {"title": section.title, "blocks": [_block(block) for block in section.blocks]}
            for section in report.sections
        ],
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"is": "text", "body": block.body, "tone": block.tone}
    common = {"title": block.title, "caption": block.caption}
    if isinstance(block, Figure):
        return {"is": "figure", "file": f"{block.name}.svg", **common}
    return {
        "is": "table",
        "folded": block.folded,
        "wide": block.is_wide,
        "headers": list(block.headers.values()),
        "numeric": block.numeric(),
        "rows": block.rows()[: block.shown] if block.rest else block.rows(),
        "rest": f"{block.rest}: see the page, or tables/{block.name}.csv." if block.rest else "",
        **common,
    }
