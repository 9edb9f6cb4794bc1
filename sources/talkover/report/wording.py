"""Counts with a noun, lists, and the tables and sentences of the notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from html import escape
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from ..money import UNKNOWN, money, signed
from ..text import visible

MARKDOWN = MarkdownIt("commonmark", {"html": False})
NO_FORMULAS = "mathjax_ignore tex2jax_ignore"
"""Classes by which Jupyter leaves dollar signs alone: what stands between two of them is a formula to it."""


def count(number: int, noun: str) -> str:
    """`1 number`, `2,000 numbers`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


class Words:
    """A paragraph of Markdown that a notebook works out; text of the account in it has gone through `markdown`."""

    def __init__(self, *sentences: str) -> None:
        self.text = " ".join(sentence for sentence in sentences if sentence)

    def _repr_markdown_(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<div class="{NO_FORMULAS}">{MARKDOWN.render(self.text)}</div>'


class Table:
    """A frame as an HTML table: titles for its columns, in their order; the first rows of many.
    Money takes the currency of its row, and its sign in a column whose name begins with `change`.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        titles: Mapping[str, str],
        *,
        caption: str = "",
        most: int = 15,
        empty: str = "Nothing.",
    ) -> None:
        self.rows = frame
        self.titles = titles
        self.caption = caption
        self.most = most
        self.empty = empty

    def _repr_html_(self) -> str:
        if self.rows.empty:
            return f'<p class="empty">{escape(self.empty)}</p>'
        head = "".join(_heading(title, self.rows[column]) for column, title in self.titles.items())
        body = "".join(
            "<tr>" + "".join(_cell(row, column, title) for column, title in self.titles.items()) + "</tr>"
            for row in self.rows.head(self.most).to_dict("records")
        )
        more = len(self.rows) - self.most
        foot = f'<p class="more">and {more:,} more</p>' if more > 0 else ""
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        table = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f'<div class="table {NO_FORMULAS}">{table}</div>{foot}'


def _heading(title: str, column: pd.Series) -> str:
    """Above figures, to the right."""
    classes = ' class="figure"' if is_numeric_dtype(column) and not is_bool_dtype(column) else ""
    return f'<th scope="col"{classes}>{escape(title)}</th>'


def _cell(row: dict[str, Any], column: str, title: str) -> str:
    """With its title, which a narrow screen shows before it."""
    value = row[column]
    if value is None or pd.isna(value):
        return "<td></td>"
    title = f' data-title="{escape(title)}"'
    if isinstance(value, pd.Timestamp):
        return f'<td class="day"{title}>{value:%Y-%m-%d}</td>'
    if isinstance(value, Decimal):
        write = signed if column.startswith("change") else money
        figure = escape(write(value, str(row.get("currency", UNKNOWN))))
    elif column.startswith("share"):
        figure = f"{value:.0%}"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        figure = f"{value:,}"
    else:
        return f"<td{title}>{escape(visible(str(value)))}</td>"
    return f'<td class="figure"{title}>{figure}</td>'
