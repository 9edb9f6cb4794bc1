"""What every picture of the notebooks and the report has in common: one message each, one panel a group, so that
currencies stay apart.

Drawn by matplotlib as SVG: vectors that print well, need no script, and stay below 0.1 MB, where plotly brings 5 MB of
JavaScript. Colours are those of Okabe and Ito, which the colour-blind tell apart; figures stand beside the marks.
Text of the account stands in the columns `group` and `label`, and is shown as it is.
"""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any
from unicodedata import bidirectional

import pandas as pd
from matplotlib import rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from ..text import visible
from .wording import Words, count

BLUE, ORANGE, GREEN, GREY, PALE = "#0072B2", "#E69F00", "#009E73", "#595959", "#D9D9D9"
WIDTH = 5.8
"""Inches: narrow, so that figures of 9 points can still be read when a phone shrinks the picture."""
MOST_PANELS = 6
MOST_LETTERS = 40
"""Of a name: a longer one leaves no room for what is drawn. The tables show it whole."""
STYLE: dict[Any, Any] = {
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "talkover",
    "text.parse_math": False,
    "ytick.left": False,
}


@dataclass(frozen=True)
class Chart:
    """A picture, the sentence that it shows, and the text for those who cannot see it."""

    svg: bytes
    message: str
    text: str

    def _repr_html_(self) -> str:
        source = f"data:image/svg+xml;base64,{b64encode(self.svg).decode()}"
        caption = f"<figcaption>{escape(self.message)}</figcaption>"
        return f'<figure>{caption}<img alt="{escape(self.text)}" src="{source}"></figure>'


def draw(
    message: str,
    frame: pd.DataFrame,
    panel: Callable[[Axes, pd.DataFrame], None],
    height: Callable[[pd.DataFrame], float],
) -> Chart | Words:
    """A panel for each group of `frame`, as high as `height` says in inches; the first MOST_PANELS groups."""
    groups = list(frame["group"].unique())
    if not groups:
        return Words(f"{message} *Nothing to draw yet.*")
    shown = [_with_names(frame[frame["group"] == group]) for group in groups[:MOST_PANELS]]
    heights = [height(members) for members in shown]
    with style.context(["default", STYLE]):  # whatever matplotlibrc the working folder or the user has
        picture = Figure(figsize=(WIDTH, sum(heights) + 0.1), layout=ConstrainedLayoutEngine(hspace=0.06))
        panels = picture.subplots(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, members in zip(panels, shown, strict=True):
            axes.set_title(members["group"].iloc[0])
            panel(axes, members)
        titles = "; ".join(axes.get_title("left").replace("\n", " ") for axes in panels)
        svg = _as_svg(picture)
    more = len(groups) - len(shown)
    message += f" {count(more, 'smaller group')} not drawn." if more else ""
    return Chart(svg, message, f"{message} {titles}")


def _with_names(members: pd.DataFrame) -> pd.DataFrame:
    """`members` with the text of the account made fit to be drawn."""

    def name(text: Any) -> str:
        whole = visible(str(text))
        # The currency stands at the end.
        return whole if len(whole) <= MOST_LETTERS else f"{whole[: MOST_LETTERS - 16]}…{whole[-15:]}"

    return members.assign(**{column: members[column].map(name) for column in ("group", "label") if column in members})


def _as_svg(picture: Figure) -> bytes:
    """Text becomes outlines, which look the same everywhere; text that the font cannot show stays text for a browser,
    which has more fonts and turns what is written from right to left.
    """
    file = BytesIO()
    with warnings.catch_warnings():
        if not all(map(_can_be_outlines, picture.findobj(Text))):
            rcParams["svg.fonttype"] = "none"
            warnings.filterwarnings("ignore", "Glyph .* missing from")
        picture.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _can_be_outlines(text: Text) -> bool:
    font = get_font(findfont(text.get_fontproperties()))
    return all(
        font.get_char_index(ord(char)) and bidirectional(char) not in ("R", "AL")
        for char in text.get_text().replace("\n", "")
    )


def label_months(axes: Axes, months: pd.Series) -> None:
    """Short names of months below, as many as there is room for; the year where it is new."""
    step = max(1, len(months) // 13 + (len(months) > 13))
    places = range(0, len(months), step)
    names, year = [], None
    for place in places:
        month = months.iloc[place]
        names.append(f"{month:%b}" if month.year == year else f"{month:%b}\n{month:%Y}")
        year = month.year
    axes.set_xticks(list(places), names)
    axes.tick_params(axis="x", length=0)


def legend(axes: Axes) -> None:
    """Beside the title, and once a picture."""
    if axes.get_subplotspec().is_first_row():  # type: ignore[union-attr]
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=8)


def hide_x(axes: Axes) -> None:
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
