"""Every text of an account is somebody else's, and so are the names of its new fields: none of it acts, wherever this
package writes or shows it, and all of it is loaded as it came.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unicodedata import category
from xml.etree import ElementTree
from zlib import crc32

import openpyxl
import pytest
import yaml
from jinja2 import Environment
from playwright.sync_api import sync_playwright

from talkover import read_arrow
from talkover.load.environments import rename_environment
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer
from talkover.sandbox.server import Request
from talkover.text import visible

from .conftest import CHROMIUM, TODAY, Connect, Row, at
from .test_text import Elements

pytestmark = [
    pytest.mark.xdist_group("hostile"),  # one process plays the commands for all of them
    pytest.mark.timeout(600),
]

PAYLOADS = (
    # a page
    "<script>document.title = 'ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "'><svg onload='document.title=1'>",
    "</style></title></textarea><iframe src=\"javascript:parent.document.title='ran'\"></iframe>",
    "<a href=\"javascript:document.title='ran'\">a</a>",
    "--><base href=http://127.0.0.1:9/><link rel=stylesheet href=//127.0.0.1:9/x.css>",
    # Markdown and templates
    "[a](javascript:document.title='ran')",
    "![a](http://127.0.0.1:9/a.png) <http://127.0.0.1:9>",
    "{{ 77 * 77 }}{% raw %}",
    "$x^2$ \\(x\\) a_b **c**",
    "| a |\n| --- |",
    # a spreadsheet
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://127.0.0.1:9","a")',
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "_x001B_",
    # a terminal
    "\x1b[31m\x1b[2J\x07",
    "\x1b]8;;http://127.0.0.1:9\x1b\\a\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b31m\x9d52;c;cm0gLXJm\x9c",
    "\u202e\u2066\u200b\ufeff\U000e0041",
    "\r\x08\x7f",
    # a log
    "\ntalkover: all is well",
    "\r\n2026-01-01 00:00:00,000|[ERROR]|forged",
    "\u2028forged\x85forged",
    # SQL, COPY and formats
    "'; drop table phone_numbers; --",
    '"; drop table phone_numbers; --',
    "` \\ \\N ?",
    "\\.",
    "a\n\\.\nb",
    "%s %(a)s %d",
    "{0} {a!r} :a $1",
    # size
    "x" * 5000,
)
"""What is text in one place and acts in another."""
ALL = "".join(PAYLOADS[:-1])
FORGED = ("talkover: all is well", "2026-01-01 00:00:00,000|[ERROR]|forged")

KEPT = re.compile(r"\d{4}-\d\d-\d\d.*|pending|approved|inbound|outbound|completed|published")
"""Dates, and the few words that figures and findings are made of."""
LINKS = ("id", "number", "phone_number", "phone_number_id", "from", "to", "sid")
"""What tables are joined by: there the same text has the same payload in every list."""


def hostile(value: Any, own: str, name: str = "") -> Any:
    """`value` with a payload before every text; in an object also a new field that is named so."""
    if isinstance(value, dict):
        return {key: hostile(within, own, key) for key, within in value.items()} | {own: {own: [own]}}
    if isinstance(value, list):
        return [hostile(within, own, name) for within in value]
    if not isinstance(value, str) or KEPT.fullmatch(value):
        return value
    return (PAYLOADS[crc32(value.encode()) % len(PAYLOADS)] if name in LINKS else own) + value


class Hostile(Sandbox):
    """Answers with rows of hostile text."""

    def answer(self, request: Request) -> tuple[Answer, str | None]:
        answer, how = super().answer(request)
        if not isinstance(answer.body, dict) or not answer.body.get("data"):
            return answer, how
        rows = [hostile(row, PAYLOADS[n % len(PAYLOADS)]) for n, row in enumerate(answer.body["data"])]
        return replace(answer, body=answer.body | {"data": rows}), how

    def rows(self, endpoint: str) -> dict[str, Row]:
        """What it lists, by id."""
        answer, _ = self.answer(Request("GET", endpoint, {"per_page": "100"}, self.token))
        assert isinstance(answer.body, dict)
        return {row["id"]: row for row in answer.body["data"]}


def account() -> Account:
    """A number for each payload."""
    return Account(seed=5, size=len(PAYLOADS), founded=TODAY, calls_a_number=0.5)


def acting(text: str) -> set[str]:
    """The characters of `text` that do something instead of being shown, but for the ends of lines."""
    return {char for char in text if category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char != "\n"}


# Tables.

ENDPOINTS = {"phone_numbers": "phone-numbers", "release_requests": "phone-numbers/release-requests", "agents": "agents"}


@pytest.mark.slow
def test_every_text_is_loaded_as_it_came_and_no_name_breaks_sql(connect: Connect) -> None:
    key, new_key = f"{ALL} key", f"{ALL} another"
    with Hostile(account()) as sandbox:
        connector = connect(sandbox)
        first = {"environment_key": key, "agents": True, "calls": True, "calls_since": str(TODAY)}
        connector.load(**first, observed_at=at("2026-03-15T12:00:00"))
        again = connector.load(environment_key=key, agents=True)
        sent = {table: sandbox.rows(endpoint) for table, endpoint in ENDPOINTS.items()}
    assert [counts.changed for counts in again.resources.values() if counts] == [0, 0, 0]
    where: dict[str, Any] = {"destination": connector.destination, "dataset": connector.dataset}
    assert rename_environment(key, new_key, **where)
    assert read_arrow("calls", environment=new_key, **where).num_rows > 10
    for table, rows in sent.items():
        loaded = {row["id"]: row for row in read_arrow(table, environment=new_key, **where).to_pylist()}
        assert loaded.keys() == rows.keys()
        for id, row in rows.items():
            texts = {name: text for name, text in row.items() if name in loaded[id] and is_hostile(text)}
            assert len(texts) >= 3
            assert {name: loaded[id][name] for name in texts} == texts
    number = next(iter(sent["phone_numbers"].values()))
    found = read_arrow("current_numbers", where={"phone_number": number["number"], "type": number["type"]}, **where)
    assert found["phone_number_id"].to_pylist() == [number["id"]]


def is_hostile(value: Any) -> bool:
    return isinstance(value, str) and not KEPT.fullmatch(value)


# What commands print, log and write.

KEY = f"{ALL} key"
PAGE, BOOK = "re\x1b[31m\nport.html", "out.xlsx"
NAMELESS = "a\x1b[31m\ntalkover: all is well'}} {% b \""
PLAY = """
import json, os, sys
from talkover.cli import main

for environment, arguments in json.load(sys.stdin):
    os.environ |= environment
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    print("exit code", code, flush=True)
"""
REFUSALS = (
    Answer(422, {"message": ALL, "errors": {ALL: [ALL]}}),
    Answer(500, f"<title>{ALL}</title>"),
    Answer(200, {"data": [{"id": ALL, ALL: ALL, "current_price": ALL}]}),
)


@dataclass(frozen=True)
class Played:
    """What was printed, the exit codes, and the folder with what was written."""

    out: str
    err: str
    codes: list[int]
    folder: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Commands on a hostile account and on hostile refusals, with everything logged."""
    folder = tmp_path_factory.mktemp("played")
    another = Account(seed=6, size=3, founded=TODAY)
    with ExitStack() as served:

        def to(sandbox: Sandbox, key: str = KEY) -> dict[str, str]:
            served.enter_context(sandbox)
            environments = json.dumps({key: sandbox.token})
            return {"SOURCES__TALKOVER__BASE_URL": sandbox.base_url, "SOURCES__TALKOVER__ENVIRONMENTS": environments}

        first, same, other = (
            to(Hostile(account()), KEY),
            to(Hostile(account()), "another"),
            to(Hostile(another), "another"),
        )
        commands = [
            (
                first,
                [
                    "load",
                    "--debug",
                    "--with",
                    "agents,calls",
                    "--calls-since",
                    str(TODAY),
                    "--observed-at",
                    f"{TODAY}T12:00",
                ],
            ),
            (first, ["report", "--out", PAGE, "--xlsx", BOOK]),
            (first, ["findings"]),
            (first, ["check"]),
            (first, ["check", "--shape"]),
            (same, ["load", "--dry-run"]),
            (other, ["load"]),
            (other, ["environment", "rename", KEY, f"{KEY} new"]),
            (other, ["report", "--environment", ALL]),
            (other, ["views", "--print", ALL]),
            (other, ["dbt", "--out", NAMELESS, "--dataset", NAMELESS]),
            (other, ["load", "--debug", "--destination", NAMELESS]),
            (other, ["load", f"--{NAMELESS}"]),
            *(
                (to(Sandbox(another, faults=[Fault("answer", answer=refusal, times=99)])), ["load", "--debug"])
                for refusal in REFUSALS
            ),
        ]
        done = subprocess.run(
            [sys.executable, "-c", PLAY],
            cwd=folder,
            env=clean_environ(folder),
            input=json.dumps(commands).encode(),
            capture_output=True,
            timeout=550,
            check=False,
        )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, err
    codes = [int(code) for code in re.findall("^exit code (.+)", out, re.MULTILINE)]
    return Played(out, err, codes, folder)


def clean_environ(folder: Path) -> dict[str, str]:
    """That of the suite without settings; everything is logged."""
    return {name: value for name, value in os.environ.items() if "__" not in name} | {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "DEBUG",
        "RUNTIME__REQUEST_MAX_ATTEMPTS": "1",
        "PYTHONUTF8": "1",
    }


@pytest.mark.slow
@pytest.mark.duckdb
def test_no_line_that_is_printed_or_logged_acts_or_is_forged(played: Played) -> None:
    assert played.codes == [0, 0, 0, 0, 0, 1, 0, 0, 2, 2, 0, 2, 2, 1, 1, 1], played.err[-3000:]
    for printed in (played.out, played.err):
        assert acting(printed) == set()
        assert not [line for line in printed.split("\n") if line.startswith(FORGED)]
        assert sum(visible(payload) in printed for payload in PAYLOADS) > 30, "it is shown"
    assert "|dlt|" in played.err
    assert "Traceback" in played.err


@pytest.mark.slow
@pytest.mark.duckdb
def test_a_dataset_of_any_name_is_one_name_in_the_dbt_package(played: Played) -> None:
    sources = yaml.safe_load((played.folder / NAMELESS / "models/sources.yml").read_text())["sources"]
    template = Environment().from_string(sources[0]["schema"])  # noqa: S701  as dbt does
    assert re.fullmatch(r"\w+", template.render(var=lambda _, otherwise: otherwise))


OURS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "nav", "section", "footer"),
    *("h1", "h2", "h3", "p", "ul", "ol", "li", "a", "div", "span", "code", "strong", "em"),
    *("figure", "figcaption", "img"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    *("alt", "aria-label", "charset", "class", "colspan", "content", "data-title", "href", "http-equiv", "id", "lang"),
    *("name", "scope", "src"),
}


def refuse_foreign(elements: list[tuple[str, dict[str, str | None]]]) -> None:
    """Fails for an element or attribute that is not the report's own, or leads out of it."""
    assert {tag for tag, _ in elements} <= OURS
    assert {name for _, attributes in elements for name in attributes} <= ATTRIBUTES
    for tag, attributes in elements:
        assert tag == "a" or "href" not in attributes
        assert str(attributes.get("href", "#")).startswith("#")
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert tag != "meta" or attributes.get("http-equiv") in (None, "Content-Security-Policy")


@pytest.mark.slow
@pytest.mark.duckdb
def test_no_element_of_the_report_came_from_data(played: Played) -> None:
    text = (played.folder / PAGE).read_text()
    page = Elements(text)
    refuse_foreign(page.elements)
    assert acting(text) == set()
    assert "5929" not in page.text, "nothing of it is worked out"
    first = min(f"{payload}Production" for payload in PAYLOADS)  # each number names its environment otherwise
    assert f"Talkover phone numbers: {visible(first)}" in page.text
    assert sum(visible(payload) in page.text for payload in PAYLOADS) > 30, "it is shown as it is"
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) >= 8
    for picture in pictures:
        svg = ElementTree.fromstring(b64decode(str(picture["src"]).split(",", 1)[1]))
        tags = {node.tag.rpartition("}")[2] for node in svg.iter()}
        assert not tags & {"script", "foreignObject", "a", "image", "iframe"}
        assert not [name for node in svg.iter() for name in node.attrib if name.startswith("on")]


@pytest.mark.slow
@pytest.mark.duckdb
def test_no_cell_of_the_workbook_is_a_formula_or_a_link(played: Played) -> None:
    with closing(openpyxl.load_workbook(played.folder / BOOK)) as book:
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "b"}
    assert not [cell for cell in cells if cell.hyperlink]
    texts = {cell.value for cell in cells if cell.data_type == "s"}
    assert not [text for text in texts if acting(text)]
    for payload in PAYLOADS:
        assert [text for text in texts if text.startswith(visible(payload))], payload


@pytest.mark.browser
@pytest.mark.duckdb
def test_no_script_runs_and_no_formula_is_worked_out(played: Played) -> None:
    """In Chromium and LibreOffice. A page that a script had been put into runs it no more than ours."""
    with (
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])) as browser,
    ):
        page = browser.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.goto((played.folder / PAGE).as_uri())
        elements = page.eval_on_selector_all(
            "*", "all => all.map(e => [e.localName, Object.fromEntries([...e.attributes].map(a => [a.name, a.value]))])"
        )
        refuse_foreign(elements)
        assert page.title().startswith("Talkover phone numbers: ")
        assert [url for url in requested[1:] if not url.startswith("data:")] == []
        (played.folder / "broken.html").write_text((played.folder / PAGE).read_text().replace("<h1>", f"<h1>{ALL}"))
        page.goto((played.folder / "broken.html").as_uri())
        assert page.locator("h1 img[onerror]").count() == 1
        assert page.title().startswith("Talkover phone numbers: ")
    profile = f"-env:UserInstallation={(played.folder / 'office').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "fods", BOOK]
    subprocess.run(command, cwd=played.folder, check=True, capture_output=True)
    sheets = (played.folder / "out.fods").read_text()
    assert "HYPERLINK" in sheets
    formulas = set(re.findall('table:formula="([^"]*)"', sheets))
    assert formulas <= {"of:=TRUE()", "of:=FALSE()"}, "it spells true and false so"
    assert "<text:a " not in sheets
