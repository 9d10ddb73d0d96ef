"""A PDF shows what its texts hold, by a font of the system if need be, or says what is missing."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from fpnprobe.report.page import fonts, pdf
from fpnprobe.report.page.content import Report

QUESTION = "どの段階が猫を見るか? 🐈"


def report_of(question: str) -> Report:
    return Report(
        title="cats", question=question, expected="", answer="", numbers=[], warnings=[],
        sections=[], claims=[],
    )  # fmt: skip


def font_with(file: Path, characters: str) -> Path:
    """A font with empty glyphs for some characters."""
    builder = FontBuilder(1000, isTTF=True)
    names = {ord(each): f"u{ord(each):X}" for each in characters}
    order = [".notdef", *names.values()]
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(names)
    builder.setupGlyf({name: TTGlyphPen(None).glyph() for name in order})
    builder.setupHorizontalMetrics(dict.fromkeys(order, (500, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Cats", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)
    return file


def test_a_document_in_the_latin_script_takes_no_font_of_the_system() -> None:
    content, foreign = pdf.content_of(report_of("Which stages see “large” objects, λ ≤ 1?"), {})
    assert content["warnings"] == []
    assert not foreign


def test_what_no_font_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    content, foreign = pdf.content_of(report_of(QUESTION), {})
    (said,) = content["warnings"]
    assert "lacks 11 characters that no font of this machine has (U+304B, " in said
    assert not foreign


def test_a_font_of_the_system_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [str(font_with(tmp_path / "cats.ttf", QUESTION))]
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: files)
    content, foreign = pdf.content_of(report_of(QUESTION), {})
    assert content["warnings"] == []
    assert foreign


def test_it_is_set_without_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The template takes the characters and the warning."""
    pytest.importorskip("typst")
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    assert pdf.typeset(report_of(QUESTION), {}).startswith(b"%PDF")


def test_a_file_that_is_no_font_has_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(b"no font")
    whole = Path(shutil.copy(fonts.FOLDER / "DejaVuSans.ttf", tmp_path / "cut.ttf"))
    whole.write_bytes(whole.read_bytes()[:5000])
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(bad), str(whole)])
    assert fonts.in_no_font(frozenset("猫")) == {"猫"}
