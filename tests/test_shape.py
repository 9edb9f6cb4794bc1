"""`talkover check --shape`: the structure of answers and how it differs from the documentation, and no value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from talkover.cli import main
from talkover.sandbox import FAULTS, Account, Fault, Sandbox
from talkover.sandbox.faults import HTML, Answer
from talkover.sandbox.server import RateLimit

from .conftest import TODAY, Row

TOKEN = "talq_verysecret"
PLANTED = "Maria Silva"

pytestmark = pytest.mark.duckdb  # nothing is loaded


@pytest.fixture
def sandbox(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox({TOKEN: account}) as running:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", running.base_url)
        monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", json.dumps({"ours": TOKEN}))
        yield running


@pytest.fixture
def numbers(account: Account) -> list[Row]:
    return list(account.numbers.values())


Shape = Callable[..., list[str]]


@pytest.fixture
def shape(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> Shape:
    """The lines about `/phone-numbers`, or all, that it prints when it ends with `code`."""

    def shape(*, code: int = 0, whole: bool = False) -> list[str]:
        assert main(["check", "--shape"]) == code
        printed = capsys.readouterr()
        assert printed.err == ""
        assert TOKEN not in printed.out
        assert "ours" not in printed.out
        text = printed.out if whole else printed.out.split("\n\n")[1]
        return [" ".join(line.split()) for line in text.splitlines()]

    return shape


def test_the_structure_stands_beside_what_is_documented(shape: Shape) -> None:
    lines = shape()
    assert lines[:6] == [
        "GET /phone-numbers",
        "asked with per_page, page",
        "200, application/json, with a Date",
        "X-RateLimit-Limit: whole number",
        "X-RateLimit-Remaining: whole number",
        "X-RateLimit-Reset: number, no epoch",
    ]
    for line in (
        "success true or false true or false",
        "data list of 57 list",
        "meta.total whole number whole number",
        "pages: it names a total and a last page, and says that nothing follows",
        "57 rows",
        "id UUID text, never null",
        "type text, 3 to 8 long; documented values alone text",
        "is_sandbox true or false true or false",
        "currency three capital letters three capital letters",
        "renewal_date day day",
        "created_at instant with Z instant with Z",
        "days_until_monthly_renewal whole number whole number",
        "environment object object or null",
        "agents[].id UUID text, never null",
    ):
        assert line in lines, line
    assert not [line for line in lines if line.startswith("!")]


def test_every_endpoint_is_looked_at_and_nothing_is_said_of_what_agents_may_hide(shape: Shape) -> None:
    lines = shape(whole=True)
    assert [line for line in lines if line.startswith("GET")] == [
        "GET /phone-numbers",
        "GET /phone-numbers/release-requests",
        "GET /agents",
        "GET /calls",
    ]
    assert "phone_numbers[].number E.164, 12 to 14 long documented; never loaded" in lines
    assert "actions list of 1 documented; never loaded" in lines
    assert "! prompt text, 25 long not documented" in lines
    assert not [line for line in lines if "actions[]" in line or "prompt." in line]
    assert lines[-1].startswith("Please read it, then open an issue of this project with it")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"has_voice": 1}, "! has_voice whole number true or false"),
        ({"has_voice": "yes"}, "!! has_voice text, 3 long; 57 cannot be loaded true or false"),
        ({"current_price": "1.00"}, "! current_price number in text number"),
        ({"current_price": 1.123456}, "!! current_price number with 6 decimals; 57 cannot be loaded number"),
        ({"created_at": "2026-01-01T10:00:00.000000Z"}, "! created_at instant with Z, 6 digits of a second instant"),
        ({"created_at": "2026-01-01 10:00:00"}, "! created_at instant without a zone, a space for T instant with Z"),
        ({"created_at": "yesterday"}, "!! created_at text, 9 long; 57 cannot be loaded instant with Z"),
        ({"renewal_date": "2026-01-01T00:00:00+02:00"}, "! renewal_date instant with an offset day"),
        ({"renewal_date": "0000-00-00"}, "! renewal_date zero date day"),
        ({"current_status": "sleeping"}, "! current_status text, 8 long; 57 of no documented value text"),
        ({"currency": ""}, "! currency empty text three capital letters"),
        ({"currency": "usd"}, "! currency text, 3 long three capital letters"),
        ({"type": None}, "type null 57 text"),
        ({"id": None}, "!! id null; 57 cannot be loaded 57 text, never null"),
        ({"id": 7}, "! id whole number text, never null"),
        ({"days_until_monthly_renewal": 14.37}, "! days_until_monthly_renewal number with 2 decimals whole number"),
        ({"environment": []}, "! environment list of 0 object or null"),
        ({"surprise": [1, 2]}, "! surprise list of 2 not documented"),
        ({"surprise": {"inner": {"e": "x@y.example"}}}, "! surprise.inner.e e-mail address, 11 long not documented"),
        ({"country_code": None, "country": "BR"}, "country two capital letters text; elsewhere country_code"),
    ],
)
def test_what_differs_is_marked(change: Row, says: str, shape: Shape, numbers: list[Row]) -> None:
    for number in numbers:
        number.update(change)
    assert any(line.startswith(says) for line in shape()), says


def test_what_is_missing_is_marked_unless_a_page_leaves_it_out(shape: Shape, numbers: list[Row]) -> None:
    for number in numbers:
        del number["currency"], number["agents"], number["country_code"]
    numbers[0]["country"] = "BR"
    del numbers[1]["auto_renewal"]
    lines = shape()
    assert "! currency missing 57 three capital letters" in lines
    assert "agents missing 57 list or null; not on every page" in lines
    assert "country two capital letters 56 text; elsewhere country_code" in lines
    assert "auto_renewal true or false 1 true or false" in lines


def test_a_list_that_php_writes_as_an_object_is_looked_into(shape: Shape, sandbox: Sandbox) -> None:
    rows = {"0": {"id": "a", "agents": {"3": {"id": "b"}}}, "2": {"id": "c", "agents": {}}}
    sandbox.faults = [Fault("answer", answer=Answer(200, {"data": rows}))]
    lines = shape()
    assert "! data object list" in lines
    assert "! agents object list or null" in lines
    assert "agents[].id text, 1 long text, never null" in lines
    assert "2 rows" in lines


# Pages.


@pytest.mark.parametrize(
    ("pagination", "says"),
    [
        ("none", "pages: it names no total, and says nothing of other pages"),
        ("links", "pages: it names no total, and says that more rows follow"),
        ("cursor", "the next page is asked for with cursor"),
        ("links", "! links.next web address, "),
        ("nested", "! meta.pagination.total_pages whole number not documented"),
        ("wrapped", "! data object list"),
        ("wrapped", "! data.data list of 20 not documented"),
    ],
)
def test_the_pages_are_told_as_they_are_understood(
    pagination: Any, says: str, shape: Shape, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.pagination = pagination
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    lines = shape()
    assert any(line.startswith(says) for line in lines), lines
    assert f"{57 if pagination == 'none' else 40} rows" in lines


def test_a_page_size_that_is_refused_or_not_kept_is_told(shape: Shape, sandbox: Sandbox) -> None:
    sandbox.largest_page = 30
    lines = shape()
    assert "! 422, application/json, with a Date" in lines
    assert "errors.per_page list of 1" in lines
    assert "asked with page" in lines
    assert "40 rows" in lines
    sandbox.caps_pages = True
    assert "! 30 rows came where per_page asked for 100" in shape()


def test_a_second_page_that_is_the_first_again_is_told(
    shape: Shape, sandbox: Sandbox, numbers: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__PER_PAGE", "20")
    sandbox.faults = [Fault("answer", page=2, answer=Answer(200, {"data": numbers[:20]}))]
    assert "! the second page has rows of the first" in shape()


def test_a_total_that_is_not_that_of_the_rows_is_told(shape: Shape, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("wrong-total")]
    assert "! the total is not the number of rows" in shape()


# The rate limit.


def test_the_unit_of_the_reset_is_told(shape: Shape, sandbox: Sandbox) -> None:
    sandbox.rate_limit = RateLimit(reset_as="epoch")
    assert "X-RateLimit-Reset: number, an epoch" in shape()
    sandbox.rate_limit = RateLimit(reset_as="none")
    assert "! X-RateLimit-Reset: missing" in shape()
    headers = {"X-RateLimit-Reset": "1780000000000", "RateLimit-Policy": PLANTED}
    sandbox.faults = [Fault("answer", answer=Answer(200, {"data": []}, headers))]
    lines = shape()
    assert "X-RateLimit-Reset: whole number, an epoch in milliseconds" in lines
    assert "! RateLimit-Policy: text" in lines


# What is no listing.


def test_what_is_no_listing_is_told_as_structure(shape: Shape, sandbox: Sandbox) -> None:
    def answered(status: int, body: Any) -> list[str]:
        sandbox.faults = [Fault("answer", answer=Answer(status, body))]
        return shape(code=1)

    lines = answered(403, {"success": False, "error": {"code": PLANTED, "details": {}}})
    assert lines[2] == "! 403, application/json, with a Date"
    assert lines[6:] == [
        "!! no list:",
        "key came null absent documented",
        "(the whole) object",
        "success true or false",
        "error object",
        f"error.code text, {len(PLANTED)} long",
        "error.details object",
    ]
    assert answered(200, HTML)[-1] == f"!! no JSON: {len(HTML)} bytes, begins like HTML"
    endless = f'{{"data": [{{"id": "{PLANTED}", "x": 1e{"9" * 20}}}]}}'
    assert answered(200, endless)[-1] == f"!! no JSON: {len(endless)} bytes"
    assert answered(200, '{"data": {"x": NaN}}')[-1] == "data.x NaN or infinity"
    assert answered(200, "")[-1] == "!! no JSON: 0 bytes, empty"
    assert answered(200, [{"id": PLANTED}])[-2:] == ["(the whole) list of 1", f"id text, {len(PLANTED)} long"]
    assert answered(200, {"data": {PLANTED: {"id": 1}}})[-1] == "data.<key>.id whole number"
    assert answered(200, {"data": {"maria": {"id": 1}, "joana": {"id": 2}}})[-2:] == [
        "data.<key> object",
        "data.<key>.id whole number",
    ]
    assert answered(200, None)[-1] == "(the whole) null 1"


def test_an_endpoint_that_nobody_loads_may_refuse(shape: Shape, sandbox: Sandbox) -> None:
    sandbox.faults = [Fault("403", "agents"), Fault("404", "calls")]
    assert "! 403, application/json, with a Date" in shape(whole=True)


def test_what_is_left_out_is_not_requested(shape: Shape, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["phone_numbers"]')
    assert shape() == ["GET /phone-numbers", "not requested, as configured"]
    assert {request.endpoint for request in sandbox.seen} == {"phone-numbers/release-requests", "agents", "calls"}


def test_environments_are_numbered_and_not_named(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox({TOKEN: account, "talq_b": Account(size=3, founded=TODAY)}) as sandbox:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
        monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", json.dumps({"acme": TOKEN, "bmw": "talq_b"}))
        assert main(["check", "--shape"]) == 0
    out = capsys.readouterr().out
    assert "\nEnvironment 1 of 2\n" in out
    assert "\nEnvironment 2 of 2\n" in out
    assert not re.search("acme|bmw", out)


# No value.


def values_in(value: Any) -> set[str]:
    """Every text and number in `value`, as it would be printed."""
    if isinstance(value, dict):
        return set().union(*map(values_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(values_in, value))
    return {str(value)} if isinstance(value, (str, int, float)) and not isinstance(value, bool) else set()


VOCABULARY = re.compile(r"[a-z-]{1,12}|[A-Z]{2,3}|[0-9]{1,3}")
"""Values that stand in the output as other words: documented ones, countries and currencies, small counts."""


def test_no_value_of_any_row_is_printed(shape: Shape, account: Account) -> None:
    account.calls_on(TODAY)
    rows = [*account.numbers.values(), *account.requests.values(), *account.agents, *account.calls[TODAY]]
    held = {value for value in values_in(rows) if not VOCABULARY.fullmatch(value)}
    assert len(held) > 500
    out = "\n".join(shape(whole=True))
    assert not [value for value in held if value in out]


ODD = [PLANTED, f"{PLANTED}\n", "+351912345678", "maria@example.com", "3f0c9d5e-7a1b-4c55-9f00-0a1b2c3d4e5f", TOKEN]


def test_no_value_is_printed_that_stands_where_none_should(shape: Shape, numbers: list[Row]) -> None:
    """In every field, as a key, in lists and maps; and no text of a server acts on the terminal."""
    for place, number in enumerate(numbers):
        for name in list(number)[1:]:
            number[name] = ODD[place % len(ODD)]
        number.update({odd: odd for odd in ODD})
        number["extra"] = {f"client{place}": {"name": PLANTED}, "\x1b[31m": [{PLANTED: TOKEN}]}
        number["agents"] = [{"id": PLANTED, "name": TOKEN, "config": {"Authorization": TOKEN, "X-Acme": PLANTED}}]
    lines = shape()
    out = "\n".join(lines)
    assert not [odd for odd in (*ODD, "client", "Acme", "Authorization", "\x1b", "31m") if odd in out]
    assert any(line.startswith("! <key> 114 text; 57 E.164; 57 e-mail address; 57 UUID, ") for line in lines)
    assert any(line.startswith("! talq_*** text, ") for line in lines)
    assert f"! extra.<key>[].<key> text, {len(PLANTED)} to {len(TOKEN)} long not documented" in lines
    assert "! agents[].config object not documented" in lines


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*FAULTS])
def test_no_fault_is_too_odd_for_a_shape(
    kind: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.5")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_RETRY_DELAY", "1")
    sandbox.faults = [Fault(kind, times=99)]
    is_list = kind in ("shrinking", "growing", "swapping", "wrong-total")
    assert main(["check", "--shape"]) == (0 if is_list else 1)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("Please read it")
    assert printed.err == ""
    assert not re.search("Whoops|nginx|migrated|may not read", printed.out)
