"""The same report as PDF: the content as JSON, one typst file, vector figures."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fpnprobe import __version__
from fpnprobe.errors import EnvironmentProblem
from fpnprobe.figures.lettering import HALO
from fpnprobe.figures.wording import bind
from fpnprobe.report.page import fonts
from fpnprobe.report.page.content import Block, Figure, Report, Text
from fpnprobe.report.page.drawings import Drawing
from fpnprobe.report.page.glossary import words_of
from fpnprobe.report.page.markdown import texts_of


def typeset(report: Report, drawings: Mapping[str, Drawing]) -> bytes:
    """The PDF.

    Raises:
        EnvironmentProblem: If the engine is missing or refuses the document, in one line.
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
            # A halo would make every letter an outline, twice the size of the file.
            plain = drawing.wide.replace(HALO, "stroke: none", 1)
            (root / f"{name}.svg").write_text(plain, encoding="utf-8")
        content, foreign = content_of(report, drawings)
        (root / "report.json").write_text(json.dumps(content), encoding="utf-8")
        template = (files("fpnprobe.report.page") / "template.typ").read_text(encoding="utf-8")
        (root / "report.typ").write_text(template, encoding="utf-8")
        try:
            document: bytes = typst.compile(
                str(root / "report.typ"),
                root=folder,
                font_paths=[str(fonts.FOLDER)],
                ignore_system_fonts=not foreign,  # then the same bytes on every machine
                timestamp=0,
            )
        except (typst.TypstError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EnvironmentProblem(f"report.pdf is not written: typst says {reason}") from error
    return document


def content_of(report: Report, drawings: Mapping[str, Drawing]) -> tuple[dict[str, Any], bool]:
    """Return what the template sets, and whether that takes a font of the system.

    Characters that no font has are told on the first page.
    """
    content: dict[str, Any] = _bound(_content(report, drawings))
    texts = [json.dumps(content, ensure_ascii=False), *(block.wide for block in drawings.values())]
    foreign = fonts.lacking(texts)
    if missing := fonts.in_no_font(foreign):
        content["warnings"].append(
            f"This PDF lacks {len(missing)} characters that no font of this machine has "
            f"({fonts.name_characters(missing)}): report.html shows them; or install a font that "
            "has them, such as Noto Sans CJK, and build the report again."
        )
    return content, foreign > missing


def _bound(value: Any) -> Any:
    """The content with every number and its unit on one line."""
    if isinstance(value, str):
        return bind(value)
    if isinstance(value, list):
        return [_bound(item) for item in value]
    if isinstance(value, dict):
        return {name: _bound(item) for name, item in value.items()}
    return value


def _content(report: Report, drawings: Mapping[str, Drawing]) -> dict[str, Any]:
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
        "first": [_block(block, drawings) for block in report.first],
        "sections": [
            {"title": section.title, "blocks": [_block(b, drawings) for b in section.blocks]}
            for section in report.sections
        ],
    }


def _block(block: Block, drawings: Mapping[str, Drawing]) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"is": "text", "body": block.body, "tone": block.tone}
    common = {"title": block.title, "caption": block.caption}
    if isinstance(block, Figure):
        drawing = drawings[block.name]
        return {
            "is": "figure",
            "file": f"{block.name}.svg",
            "height": drawing.height,
            "cuts": list(drawing.cuts),
            **common,
        }
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
