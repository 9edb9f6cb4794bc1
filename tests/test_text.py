"""Text of the account is shown as it is: on a terminal, in HTML, in Markdown and in pictures. None of it acts."""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib import rcParams

from talkover import TalkoverError
from talkover.money import money
from talkover.report.charts import Chart, cost_by
from talkover.report.wording import MARKDOWN, Table, Words
from talkover.text import markdown, visible

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "_*a*_ `c`|~~d~~<b>&amp;[x](http://y.example) $x^2$ $y$\x1b[31m\u202e\n# 中🎉 {{77*77}} %s 'q' \"</script>\\"
"""Marks of Markdown, HTML, mathtext, Jinja and SQL, a terminal's escape, a turn of direction, a line break."""
SHOWN = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e").replace("\n", "\\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("São Paulo 中 🎉 עברית", "São Paulo 中 🎉 עברית"),
        ("株式会社\u3000山田", "株式会社\u3000山田"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("a\r\nb\x85c\u2028d", "a\\r\\nb\\x85c\\u2028d"),
        ("a\u202eb\u2066\u200f", "a\\u202eb\\u2066\\u200f"),
        ("a\ud800", "a\\ud800"),
        ("a\x00", "a\\x00"),
        (HOSTILE, SHOWN),
    ],
)
def test_what_would_act_is_spelled_out_and_letters_are_left_alone(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(TalkoverError(f"the server said {HOSTILE}")) == f"the server said {SHOWN}"
    assert TalkoverError(HOSTILE)._render_traceback_() == [f"TalkoverError: {SHOWN}"]


@pytest.mark.parametrize("text", [HOSTILE, " a ", "# a", "1. a", "- a", "a  ", "<!-- a", "&copy;", "\\*", "a\n\n    b"])
def test_markdown_takes_no_sign_of_it_for_its_own(text: str) -> None:
    html = MARKDOWN.render(f"The account **{markdown(text)}** holds 3.")
    assert re.sub(r"</?(p|strong)>", "", html).count("<") == 0
    assert html.count("<strong>") == 1
    assert unescape(re.sub(r"</?(p|strong)>", "", html)).strip() == f"The account {visible(text)} holds 3."


def test_jupyter_takes_nothing_between_dollar_signs_for_a_formula() -> None:
    shown = Words(f"It costs {markdown(money(Decimal(1), 'US$'))} and {markdown(money(Decimal(2), 'R$'))}.")
    assert "mathjax_ignore" in shown._repr_html_()
    assert "$" not in shown._repr_markdown_()
    assert "mathjax_ignore" in Table(pd.DataFrame({"a": ["$x$"]}), {"a": "a"})._repr_html_()


def picture_of(label: str, group: str = "USD") -> Chart:
    costs = {"group": [group], "label": [label], "currency": ["USD"], "monthly_cost": [Decimal(3)], "numbers": [2]}
    picture = cost_by(pd.DataFrame(costs), "Monthly cost.")
    assert isinstance(picture, Chart)
    return picture


def texts(picture: Chart) -> dict[str, int]:
    """The texts that are drawn as outlines, which stand in comments, and how many letters are drawn of each."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    tree = ElementTree.fromstring(picture.svg, ElementTree.XMLParser(target=builder))
    return {
        unescape(node.text or "").strip(): len(list(group.iter(f"{SVG}use")))
        for group in tree.iter(f"{SVG}g")
        for node in group
        if node.tag is ElementTree.Comment
    }


@pytest.mark.parametrize("label", ["$x^2$", "a$b$c", "_a", "\\alpha", "<b>&", "a%b", "$\\frac{1}$"])
def test_a_picture_shows_a_label_as_it_is(label: str) -> None:
    assert texts(picture_of(label))[label] == len(label)
    assert texts(picture_of("a", label))[label] == len(label)


@pytest.mark.parametrize("label", ["中文", "🎉", "עברית", "हिन्दी", "العربية"])
def test_letters_that_the_font_cannot_draw_are_left_to_the_browser(label: str) -> None:
    tree = ElementTree.fromstring(picture_of(label).svg)
    assert label in [text.text for text in tree.iter(f"{SVG}text")]


def test_letters_that_the_font_has_are_outlines_which_look_the_same_everywhere() -> None:
    assert not list(ElementTree.fromstring(picture_of("São Paulo, Łódź, Ελλάδα").svg).iter(f"{SVG}text"))


def test_a_long_name_leaves_room_for_the_picture_and_keeps_the_currency_at_its_end() -> None:
    said = texts(picture_of("x" * 500, "x" * 500 + " · USD"))
    assert [text for text in said if text.startswith("xxx")] == [
        "x" * 24 + "…" + "x" * 15,
        "x" * 24 + "…" + "x" * 9 + " · USD",
    ]


def test_settings_of_matplotlib_in_the_folder_change_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    before = picture_of("a").svg
    for name, value in {"text.usetex": True, "axes.facecolor": "red", "font.sans-serif": ["Nowhere"]}.items():
        monkeypatch.setitem(rcParams, name, value)
    assert picture_of("a").svg == before


class Elements(HTMLParser):
    """The elements of a page with their attributes, and all of its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_table_of_html_is_text() -> None:
    table = Elements(Table(pd.DataFrame({"a": [HOSTILE]}), {"a": "<i>"}, caption="<i>")._repr_html_())
    assert {tag for tag, _ in table.elements} == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert SHOWN in table.text
