"""Names at the right ends of lines, moved apart where they would lie on each other."""

from matplotlib.axes import Axes
from matplotlib.text import Text

from fpnprobe.figures.markup import SERIES
from fpnprobe.figures.palette import MUTED
from fpnprobe.figures.wording import short

_SIZE, _PITCH = 9.0, 11.0  # of a label and from one to the next, px


def label_end(ax: Axes, y: float, name: str, *, width: int = 12) -> None:
    """Write a variant's name right of the Axes, at the height of the end of its line."""
    base, _, change = name.split(": ")[-1].partition("~")
    text = ax.text(
        1.0,
        y,
        short(f"~{change}" if change else base, width),
        transform=ax.get_yaxis_transform(),
        fontsize=_SIZE,
        color=MUTED,
        va="center_baseline",
    )
    text.set_gid(SERIES + " ".join(name.split()))


def spread(ax: Axes, height: float) -> None:
    """Move labels at line ends apart, in their order, within an Axes of that height in px."""
    labels = [text for text in ax.texts if str(text.get_gid()).startswith(SERIES)]
    if not labels:
        return
    low, high = ax.get_ylim()
    per_px = (high - low) / height

    def place(text: Text) -> float:
        return min(max((text.get_position()[1] - low) / per_px, 0.0), height)

    labels.sort(key=place)
    places = [place(text) for text in labels]
    for _ in range(60):  # push neighbours apart by halves until all have their room
        for at in range(len(places) - 1):
            lack = _PITCH - (places[at + 1] - places[at])
            if lack > 0:
                places[at] -= lack / 2
                places[at + 1] += lack / 2
    for text, px in zip(labels, places, strict=True):
        text.set_position((1.015, low + px * per_px))
