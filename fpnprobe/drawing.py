"""A figure that shows itself in Jupyter."""

import html
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as SVG text."""

    name: str
    svg: str
    caption: str

    def __repr__(self) -> str:
        return f"Drawing({self.name}: {self.caption})"

    def _repr_html_(self) -> str:
        return f"<figure>{self.svg}<figcaption>{html.escape(self.caption)}</figcaption></figure>"
