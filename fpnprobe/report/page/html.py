"""The report as one self-contained page: no request, no dependency, works without its script."""

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from fpnprobe import __version__
from fpnprobe.figures.markup import themed
from fpnprobe.figures.palette import DARK
from fpnprobe.report.page.content import Figure, Report, Table, Text
from fpnprobe.report.page.drawings import Drawing
from fpnprobe.report.page.glossary import coded, explained, words_of
from fpnprobe.report.page.markdown import texts_of

LINKS = (
    ("the paper", "https://arxiv.org/abs/2207.07889"),
    ("COCO's metrics", "https://cocodataset.org/#detection-eval"),
    ("TIDE's error types", "https://arxiv.org/abs/2008.08115"),
)
"""Where a reader may go on; the page itself requests nothing."""


def page(report: Report, drawings: Mapping[str, Drawing], *, readme: bool = False) -> str:
    """The page; every string of the report is escaped.

    Args:
        report: What to say.
        drawings: Its figures by name.
        readme: Whether a `README.md` lies beside the page, to link to it.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["text"] = lambda block: isinstance(block, Text)
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["figure"] = lambda block: isinstance(block, Figure)
    template = environment.from_string(_read_asset("template.html.jinja"))
    return template.render(
        report=report,
        style=Markup(_read_asset("style.css").replace("/*dark*/", _dark_style())),
        script=Markup(_read_asset("script.js")),
        version=__version__,
        explained=explained,
        coded=coded,
        words=words_of(texts_of(report)),
        links=[*LINKS, *([("README of this study", "README.md")] if readme else [])],
        svg={
            name: (_name_svg(drawing.wide, name), _name_svg(drawing.narrow, name))
            for name, drawing in drawings.items()
        },
        csv=lambda block: _embed_csv(block.table if isinstance(block, Figure) else block.frame),
    )


def _name_svg(svg: str, name: str) -> Markup:
    """The SVG as one image to assistive technology, called what its heading says."""
    label = f'<svg role="img" aria-labelledby="{name}-title" '
    return Markup(themed(svg).replace("<svg ", label, 1))


def _read_asset(name: str) -> str:
    return (files("fpnprobe.report.page") / name).read_text(encoding="utf-8")


def _dark_style() -> str:
    return "".join(f"--c{light[1:]}:{dark};" for light, dark in DARK.items())


def _embed_csv(frame: object) -> Markup:
    """CSV inside a script element: only `</` could end it, so `<` is written as a code."""
    text = frame.to_csv(index=False, float_format="%.6g")  # type: ignore[attr-defined]
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;"))
