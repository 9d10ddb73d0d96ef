"""One figure of a report in a notebook: it shows itself, saves itself, and gives its Axes."""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from matplotlib.axes import Axes

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.figures.markup import grounded
from fpnprobe.figures.svg import compose, to_svg
from fpnprobe.report.page.content import Figure
from fpnprobe.report.page.drawings import WIDE, draw, layout_of
from fpnprobe.report.page.fonts import FOLDER as FONTS
from fpnprobe.store import atomic

FONT = 10.5
"""Size of most letters in a figure as it is laid out, in px."""
_UNITS = {"in": 72.0, "mm": 72 / 25.4, "cm": 72 / 2.54, "pt": 1.0}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure of a report, which shows itself in Jupyter on its own white ground.

    Attributes:
        figure: Panels, caption and the table behind.
    """

    figure: Figure

    @property
    def name(self) -> str:
        """Its name, such as `routes`."""
        return self.figure.name

    @property
    def caption(self) -> str:
        """The conclusion to draw from it."""
        return self.figure.caption

    @property
    def svg(self) -> str:
        """The picture as SVG text, as wide as on a page."""
        return draw(self.figure).wide

    def __repr__(self) -> str:
        return f"Drawing({self.name}: {self.caption})"

    def _repr_html_(self) -> str:
        # Dark letters need a light ground, whatever theme the notebook has.
        style = "background:#fff;color:#1d2530;padding:12px;border-radius:6px;max-width:800px"
        caption = html.escape(self.caption)
        return (
            f'<figure style="{style}">{self.svg}<figcaption style="color:#1d2530">{caption}'
            "</figcaption></figure>"
        )

    def axes(self) -> tuple[Axes, ...]:
        """The panels as matplotlib Axes, freshly drawn, to change and save as any figure.

        `drawing.axes()[0].figure` is the matplotlib figure.
        """
        figure = self.figure
        drawn = compose(figure.panels, columns=figure.columns, width=WIDE, **layout_of(figure))
        return tuple(drawn.axes)

    def save(
        self, path: str | Path, *, width: str | float = "6.9in", font: float = 8.0, dpi: int = 300
    ) -> Path:
        """Write it as SVG, PDF or PNG, laid out for the width that it will have on paper.

        Args:
            path: Ends in `.svg`, `.pdf` or `.png`.
            width: On paper: inches, or text with a unit such as `3.3in` or `84mm`.
            font: Size of its letters in points.
            dpi: Dots per inch of a PNG.

        Raises:
            FpnProbeError: For another ending, or a width or size that is none.
        """
        target, points = Path(path), _points(width)
        kind = target.suffix.lower().removeprefix(".")
        if kind not in ("svg", "pdf", "png"):
            raise FpnProbeError(
                f"cannot save a figure as {target.name}: give a name that ends in .svg, .pdf or "
                ".png"
            )
        if not 2 <= font <= 40:
            raise FpnProbeError(f"a font of {font:g} points is no size to read: expected 2 to 40")
        svg, height = self._on_paper(points, font)
        if kind == "svg":
            content = svg.encode()
        else:
            kind_of_page: Literal["pdf", "png"] = "png" if kind == "png" else "pdf"
            content = _typeset(svg, points, height, kind=kind_of_page, dpi=dpi)
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(target, content)
        return target

    def _on_paper(self, points: float, font: float) -> tuple[str, float]:
        """The SVG of a width in points, its letters of that size, and its height in points."""
        scale = font / FONT
        room = round(points / scale)
        columns = self.figure.columns if room >= 0.75 * WIDE else self.figure.narrow
        layout = layout_of(self.figure)
        drawn = compose(self.figure.panels, columns=columns, width=room, **layout)
        svg = grounded(to_svg(drawn, self.name))
        height = float(drawn.get_size_inches()[1]) * 72 * scale
        size = f'<svg width="{points:.2f}pt" height="{height:.2f}pt" '
        return svg.replace("<svg ", size, 1), height


def _points(width: str | float) -> float:
    """A width on paper in points.

    >>> round(_points("3.3in"), 1), round(_points(1), 1)
    (237.6, 72.0)
    """
    if isinstance(width, int | float) and not isinstance(width, bool):
        points = 72.0 * width
    else:
        match = re.fullmatch(r"([\d.]+) ?(in|mm|cm|pt)", str(width).strip())
        points = float(match[1]) * _UNITS[match[2]] if match else float("nan")
    if not 36 <= points <= 3600:
        raise FpnProbeError(
            f"a figure cannot be {width!r} wide: give inches, or a text such as '3.3in' or '84mm', "
            "from half an inch to 50"
        )
    return points


def _typeset(
    svg: str, width: float, height: float, *, kind: Literal["pdf", "png"], dpi: int
) -> bytes:
    """The picture alone on a page of its size."""
    try:
        import typst
    except ImportError as error:
        raise EnvironmentProblem(
            f"a figure as {kind} needs the package typst: pip install typst, or save it as .svg"
        ) from error
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "figure.svg").write_text(svg, encoding="utf-8")
        (root / "figure.typ").write_text(
            f"#set page(width: {width:.3f}pt, height: {height:.3f}pt, margin: 0pt)\n"
            '#image("figure.svg", width: 100%, height: 100%, fit: "contain")\n',
            encoding="utf-8",
        )
        content: bytes = typst.compile(
            str(root / "figure.typ"), root=folder, font_paths=[str(FONTS)], format=kind,
            ppi=float(dpi), ignore_system_fonts=True, timestamp=0,
        )  # fmt: skip
    return content
