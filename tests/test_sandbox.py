"""The sandbox behaves as the vendor documents, and its account as accounts do."""

from __future__ import annotations

import json
import socket
from collections import Counter
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from talkover.api.columns import read_table
from talkover.api.fields import CALL, PHONE_NUMBER, RELEASE_REQUEST
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.calls import CALL_STATUSES
from talkover.sandbox.pages import Pagination

from .conftest import TODAY, Row

DAY = timedelta(days=1)


def get(sandbox: Sandbox, path: str = "phone-numbers", token: str | None = None, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or sandbox.token}"}
    return requests.get(f"{sandbox.base_url}/{path}", params=query, headers=headers, timeout=5)


def listed(sandbox: Sandbox, **query: Any) -> list[Row]:
    """The calls of every page."""
    page, rows = get(sandbox, "calls", per_page=100, **query).json(), []
    while page["data"]:
        rows += page["data"]
        page = get(sandbox, "calls", per_page=100, page=page["meta"]["current_page"] + 1, **query).json()
    return rows


def ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]


def ours(call: Row) -> str:
    """The account's number on a call."""
    return str(call["from"] if call["direction"] == "outbound" else call["to"])


def other(call: Row) -> str:
    return str(call["to"] if call["direction"] == "outbound" else call["from"])


# The account.


def test_the_same_seed_gives_the_same_account_in_any_number_of_steps() -> None:
    in_steps, at_once = Account(4, 40, TODAY), Account(4, 40, TODAY)
    for days in range(1, 91):
        in_steps.advance(TODAY + timedelta(days=days))
    at_once.advance(TODAY + timedelta(days=90))
    assert in_steps.numbers == at_once.numbers
    assert in_steps.requests == at_once.requests
    assert Account(5, 40, TODAY).numbers != Account(4, 40, TODAY).numbers


@pytest.mark.parametrize("size", [0, 1, 500])
def test_an_account_has_the_size_that_was_asked_for_and_fits_the_models(size: int) -> None:
    account = Account(1, size, TODAY)
    assert len(account.numbers) == size
    account.advance(TODAY + timedelta(days=60))
    sent = json.dumps([list(account.numbers.values()), list(account.requests.values())])
    numbers, asked_back = json.loads(sent, parse_float=Decimal)
    read_table(PHONE_NUMBER, numbers, "sandbox")
    read_table(RELEASE_REQUEST, asked_back, "sandbox")


def test_an_account_is_believable() -> None:
    account = Account(1, 500, TODAY)
    numbers = list(account.numbers.values())
    for name, least in (("country_code", 6), ("currency", 5), ("type", 5), ("current_status", 4)):
        assert len({number[name] for number in numbers}) >= least, name
    capabilities = Counter(
        tuple(number[f"has_{name}"] for name in ("voice", "sms", "mms", "fax")) for number in numbers
    )
    assert len(capabilities) >= 6
    assert {request["status"] for request in account.requests.values()} >= {"pending", "approved", "rejected"}
    assert len({number["number"] for number in numbers}) == 500
    renewals = [date.fromisoformat(number["renewal_date"]) for number in numbers]
    assert all(renewal > TODAY for renewal in renewals)
    assert max(renewals) > TODAY + timedelta(days=90)


def test_an_account_lives() -> None:
    account = Account(1, 200, TODAY)
    before = {id: dict(number) for id, number in account.numbers.items()}
    requests_before = dict(account.requests)
    account.advance(TODAY + timedelta(days=120))
    kept = before.keys() & account.numbers.keys()
    assert before.keys() - account.numbers.keys(), "released"
    assert account.numbers.keys() - before.keys(), "bought"
    assert account.requests.keys() > requests_before.keys(), "asked back, and no request is lost"
    for name in ("monthly_renewal_cost", "renewal_date", "current_status", "agents"):
        assert any(before[id][name] != account.numbers[id][name] for id in kept), name
    statuses = Counter(request["status"] for request in account.requests.values())
    assert statuses["approved"] > statuses["rejected"] > 0
    still = [id for id in kept if before[id]["agents"] != account.numbers[id]["agents"]]
    assert any(before[id]["updated_at"] == account.numbers[id]["updated_at"] for id in still)


# Its calls.


def test_a_day_has_the_same_calls_in_any_number_of_steps() -> None:
    in_steps, at_once = Account(4, 40, TODAY), Account(4, 40, TODAY)
    days = [TODAY + n * DAY for n in range(91)]
    for day in days:
        in_steps.advance(day)
        in_steps.calls_on(day)
    at_once.advance(days[-1])
    assert at_once.calls == {}, "made before anyone asked"
    assert {day: at_once.calls_on(day) for day in reversed(days)} == in_steps.calls
    assert Account(5, 40, TODAY).calls_on(TODAY) != in_steps.calls[TODAY]
    assert in_steps.calls_on(days[-1] + DAY) == []


def test_calls_are_believable_and_fit_the_models() -> None:
    account = Account(1, 300, TODAY)
    calls = account.calls_between(TODAY - 13 * DAY, TODAY)
    read_table(CALL, json.loads(json.dumps(calls)), "sandbox")
    assert set(CALL_STATUSES) == {call["status"] for call in calls}
    assert len({call["id"] for call in calls}) == len({call["sid"] for call in calls}) == len(calls)
    assert 0.65 < sum(call["direction"] == "inbound" for call in calls) / len(calls) < 0.75
    assert 0.01 < sum(call["is_testing"] for call in calls) / len(calls) < 0.03
    assert {call["status"] for call in calls if call.get("duration")} == {"completed"}
    assert {call["status"] for call in calls if "duration" not in call} >= {"busy", "no-answer", "failed"}
    assert {call["status"] for call in calls if "ended_at" in call} == {"completed", "busy", "no-answer", "failed"}
    for call in calls:
        assert call["created_at"] <= call["updated_at"] == call.get("ended_at", call["updated_at"])
    assert {call["agent"] is None for call in calls} == {True, False}
    others = Counter(other(call) for call in calls)
    assert others["anonymous"] > 0
    assert others.most_common(10)[-1][1] > 20, "callers come again"
    assert sum(count == 1 for count in others.values()) > 500, "and some once"
    assert {other(call)[:3] for call in calls} >= {"+49", "+44", "+55", "+35"}


def test_there_are_about_as_many_calls_as_were_asked_for_and_more_on_weekdays_and_by_day() -> None:
    two, half = Account(1, 300, TODAY), Account(1, 300, TODAY, calls_a_number=0.5)
    weeks = [TODAY - n * DAY for n in range(1, 29)]
    for account, expected in ((two, 2.0), (half, 0.5)):
        assert sum(len(account.calls_on(day)) for day in weeks) / 28 / 300 == pytest.approx(expected, rel=0.1)
    weekend, weekdays = ([day for day in weeks if (day.weekday() > 4) is is_weekend] for is_weekend in (True, False))
    assert max(len(two.calls_on(day)) for day in weekend) < min(len(two.calls_on(day)) for day in weekdays)
    hours = Counter(call["created_at"][11:13] for day in weeks for call in two.calls_on(day))
    assert hours["10"] > 5 * hours["03"] > 0


def test_a_call_of_late_today_is_in_progress_until_the_day_is_over() -> None:
    account = Account(1, 60, TODAY)
    before = deepcopy(account.calls_between(TODAY, TODAY))
    account.advance(TODAY + DAY)
    after = account.calls_between(TODAY, TODAY)
    assert ids(before) == ids(after)
    assert {call["status"] for call in before} > {"ringing", "in-progress"}
    assert {call["status"] for call in after} & {"ringing", "in-progress"} == set()
    for then, now in zip(before, after, strict=True):
        if then["created_at"][11:13] < "16":
            assert then == now
        else:
            assert then["status"] in ("ringing", "in-progress")
            assert then.keys() & {"duration", "ended_at"} == set()
            assert then["updated_at"] < now["updated_at"]


def test_some_numbers_are_never_called_some_never_answer_and_some_are_called_much() -> None:
    account = Account(1, 400, TODAY)
    calls = Counter[str]()
    answered = Counter[str]()
    for call in account.calls_between(TODAY - 40 * DAY, TODAY - DAY):
        calls[ours(call)] += 1
        answered[ours(call)] += (call["direction"], call["status"]) == ("inbound", "completed")
    held = [row for row in account.numbers.values() if row["created_at"][:10] < str(TODAY - 40 * DAY)]
    mute = {row["number"] for row in held if row["has_voice"] is False}
    others = {row["number"] for row in held} - mute
    assert len(mute) > 10
    assert not mute & calls.keys(), "numbers that cannot take calls have none"
    silent = others - calls.keys()
    assert 1 / 16 < len(silent) / len(others) < 1 / 5
    missed = {number for number in others if calls[number] > 15 and not answered[number]}
    assert 1 / 50 < len(missed) / len(others) < 1 / 10
    usual = sorted(calls[number] for number in others - silent)
    assert usual[-10] > 10 * usual[10]


def test_a_number_has_calls_while_it_is_held_and_keeps_them_when_it_is_gone() -> None:
    account = Account(1, 100, TODAY)
    bought_on = {row["number"]: row["created_at"][:10] for row in account.numbers.values()}
    on = {TODAY: set(bought_on)}
    for _ in range(120):
        account.advance(account.today + DAY)
        on[account.today] = {row["number"] for row in account.numbers.values()}
        bought_on |= {row["number"]: row["created_at"][:10] for row in account.numbers.values()}
    gone = bought_on.keys() - on[account.today]
    called = {day: {ours(call) for call in account.calls_on(day)} for day in on}
    gone_and_called = {number for number in gone if any(number in called[day] for day in on)}
    assert len(gone_and_called) > 5
    for number in bought_on:
        days = [day for day in on if number in on[day]]
        for day in on:
            if number in called[day]:
                assert bought_on[number] <= day.isoformat()
                assert day <= max(days) + DAY, "the day it was released is the first that does not list it"


def test_some_calls_are_on_numbers_that_are_never_listed() -> None:
    account = Account(1, 100, TODAY)
    calls = [call for n in range(60) for call in account.calls_on(TODAY - n * DAY)]
    numbers = {row["number"] for row in account.numbers.values()}
    numbers |= {request["phone_number"] for request in account.requests.values()}
    unlisted = [call for call in calls if ours(call) not in numbers]
    assert 0.01 < len(unlisted) / len(calls) < 0.06
    assert len({ours(call) for call in unlisted}) == 3


# The server.


def test_a_page_has_the_documented_shape() -> None:
    with Sandbox(Account(size=45, founded=TODAY)) as sandbox:
        body = get(sandbox, page=3).json()
        assert body["success"] is True
        assert body["meta"] == {"current_page": 3, "per_page": 20, "total": 45, "last_page": 3}
        assert len(body["data"]) == 5
        assert get(sandbox, page=9).json()["data"] == []


def test_a_cursor_alone_leads_to_the_next_page() -> None:
    account = Account(size=45, founded=TODAY)
    with Sandbox(account, pagination="cursor") as sandbox:
        assert get(sandbox, page=2).json() == get(sandbox).json()
        ids, cursor = [], "after-0"
        while cursor is not None:
            body = get(sandbox, cursor=cursor).json()
            ids += [row["id"] for row in body["data"]]
            cursor = body["meta"]["next_cursor"]
    assert ids == list(account.numbers)


def test_a_paginator_in_data_has_laravels_shape() -> None:
    with Sandbox(Account(size=45, founded=TODAY), pagination="wrapped") as sandbox:
        body = get(sandbox, page=3).json()
    assert len(body["data"].pop("data")) == 5
    assert body == {
        "success": True,
        "data": {"current_page": 3, "per_page": 20, "total": 45, "last_page": 3, "next_page_url": None},
    }


def test_errors_have_the_documented_shapes() -> None:
    with Sandbox(Account(size=5, founded=TODAY)) as sandbox:
        unauthorized = get(sandbox, token="talq_other")
        assert (unauthorized.status_code, unauthorized.json()["message"]) == (401, "Unauthorized")
        invalid = get(sandbox, type="pigeon")
        assert invalid.status_code == 422
        assert invalid.json()["errors"] == {"type": ["The selected type is invalid."]}
        assert get(sandbox, per_page=101).json()["errors"] == {"per_page": ["The per page must be between 1 and 100."]}
        assert get(sandbox, "voices").status_code == 404


def test_the_rate_limit_is_told_and_kept() -> None:
    with Sandbox(Account(size=5, founded=TODAY)) as sandbox:
        sandbox.rate_limit.requests = 2
        answers = [get(sandbox) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert 0 < float(answers[0].headers["X-RateLimit-Reset"]) <= 60


def test_filters() -> None:
    account = Account(size=200, founded=TODAY)
    with Sandbox(account) as sandbox:
        for query, wanted in (
            ({"type": "fax"}, lambda number: number["type"] == "fax"),
            ({"has_voice": "false"}, lambda number: number["has_voice"] is False),
            ({"has_whatsapp": "true"}, lambda number: number["has_whatsapp"] is True),
            ({"search": "+55"}, lambda number: number["number"].startswith("+55")),
        ):
            expected = [number["id"] for number in account.numbers.values() if wanted(number)]
            assert [row["id"] for row in get(sandbox, per_page=100, **query).json()["data"]] == expected[:100]
            assert expected


def test_calls_are_listed_by_page_newest_first() -> None:
    account = Account(size=60, founded=TODAY)
    with Sandbox(account, pagination="pagination") as sandbox:
        body = get(sandbox, "calls", date_from=TODAY - DAY, date_to=TODAY, page=2).json()
    rows = account.calls_on(TODAY) + account.calls_on(TODAY - DAY)
    assert ids(body["data"]) == ids(rows)[20:40]
    assert body["pagination"]["total"] == len(rows) > 60
    begun = [row["created_at"] for row in rows]
    assert begun == sorted(begun, reverse=True)


@pytest.mark.parametrize("hours", [0, 9, -3])
@pytest.mark.parametrize("is_excluded", [False, True])
def test_the_two_days_are_read_in_every_way_that_the_documentation_allows(hours: int, is_excluded: bool) -> None:
    account = Account(size=60, founded=TODAY)
    begun = {
        call["id"]: datetime.fromisoformat(call["created_at"][:-1]) + timedelta(hours=hours)
        for n in range(10)
        for call in account.calls_on(TODAY - n * DAY)
    }
    first, last = TODAY - 6 * DAY, TODAY - 4 * DAY
    wanted = [id for id in begun if first <= begun[id].date() <= last - is_excluded * DAY]
    with Sandbox(account, calls_offset=hours, calls_until_excluded=is_excluded) as sandbox:
        assert ids(listed(sandbox, date_from=first, date_to=last)) == wanted
        # Today may be tomorrow there; what is to come is asked for in vain.
        newest = [id for id in begun if begun[id].date() >= TODAY]
        assert ids(listed(sandbox, date_from=TODAY, date_to=TODAY + 9 * DAY)) == newest
        assert listed(sandbox, date_from=last, date_to=first) == []
        assert listed(sandbox, date_from="0001-01-01", date_to="0001-02-01") == []
        assert listed(sandbox, date_from="9999-12-01", date_to="9999-12-31") == []


def test_without_days_every_call_is_listed() -> None:
    account = Account(size=2, founded=TODAY)
    bought = min(date.fromisoformat(row["created_at"][:10]) for row in account.numbers.values())
    with Sandbox(account) as sandbox:
        every = ids(listed(sandbox))
        assert every == ids(listed(sandbox, date_from=bought, date_to=TODAY)) != []
        assert ids(listed(sandbox, date_to=TODAY - DAY) + listed(sandbox, date_from=TODAY)) != every
        assert ids(listed(sandbox, date_from=TODAY) + listed(sandbox, date_to=TODAY - DAY)) == every


@pytest.mark.parametrize("hours", [0, 9, -9])
def test_without_days_the_first_and_the_last_call_are_listed_in_any_zone(hours: int) -> None:
    account = Account(size=0, founded=TODAY)
    first, last = (
        {"id": "first", "created_at": f"{TODAY}T00:30:00Z"},
        {"id": "last", "created_at": f"{TODAY}T23:30:00Z"},
    )
    account.calls[TODAY] = [last, first]
    with Sandbox(account, calls_offset=hours) as sandbox:
        assert ids(listed(sandbox)) == ["last", "first"]


def test_filters_of_calls() -> None:
    account = Account(size=60, founded=TODAY)
    agent = account.agents[0]["id"]
    with Sandbox(account) as sandbox:
        days = {"date_from": TODAY - DAY, "date_to": TODAY}
        every = listed(sandbox, **days)
        for query, wanted in (
            ({"status": "ringing"}, lambda call: call["status"] == "ringing"),
            ({"status": "busy"}, lambda call: call["status"] == "busy"),
            ({"direction": "outbound"}, lambda call: call["direction"] == "outbound"),
            ({"agent_id": agent}, lambda call: (call["agent"] or {}).get("id") == agent),
        ):
            expected = [call for call in every if wanted(call)]
            assert listed(sandbox, **days, **query) == expected
            assert 0 < len(expected) < len(every)


@pytest.mark.parametrize("text", ["20260315", "2026-3-15", "2026-02-30", "2026-03-15T00:00:00", "15/03/2026", ""])
@pytest.mark.parametrize("name", ["date_from", "date_to"])
def test_a_day_that_is_none_is_invalid(name: str, text: str) -> None:
    with Sandbox(Account(size=5, founded=TODAY)) as sandbox:
        answer = get(sandbox, "calls", **{name: text})
    assert answer.status_code == 422
    assert answer.json() == {
        "success": False,
        "message": "The given data was invalid.",
        "errors": {name: [f"The {name.replace('_', ' ')} must match the format Y-m-d."]},
    }


@pytest.mark.parametrize("name", ["status", "direction"])
def test_a_status_or_direction_that_is_none_is_invalid(name: str) -> None:
    with Sandbox(Account(size=5, founded=TODAY)) as sandbox:
        answer = get(sandbox, "calls", **{name: "pigeon"})
    assert (answer.status_code, answer.json()["errors"]) == (422, {name: [f"The selected {name} is invalid."]})


@pytest.mark.parametrize("pagination", ["meta", "none"])
def test_bare_calls_lack_what_the_openapi_file_lacks(pagination: Pagination) -> None:
    account = Account(size=60, founded=TODAY)
    with Sandbox(account, pagination=pagination, bare_calls=True) as sandbox:
        bare = get(sandbox, "calls", date_from=TODAY - DAY, date_to=TODAY - DAY, direction="outbound").json()["data"]
        assert get(sandbox, "agents").json()["data"][0]["direction"] == "inbound", "of calls alone"
    for row in bare:
        whole = next(call for call in account.calls[TODAY - DAY] if call["id"] == row["id"])
        assert whole["direction"] == "outbound", "still filtered by it"
        assert row == {name: whole[name] for name in whole if name not in ("direction", "agent", "updated_at")}
    assert len(bare) > 5


def test_calls_that_are_changed_by_hand_are_listed_so() -> None:
    account = Account(size=0, founded=TODAY)
    made = {"id": "made", "created_at": f"{TODAY - DAY}T09:00:00Z", "status": "busy", "direction": "outbound"}
    with Sandbox(account) as sandbox:
        assert listed(sandbox) == []
        account.calls[TODAY - DAY] = [made]
        assert listed(sandbox) == listed(sandbox, date_from=TODAY - 2 * DAY) == [made]
        account.calls_on(TODAY - DAY)[0]["status"] = "failed"
        assert [call["status"] for call in listed(sandbox)] == ["failed"]
        account.calls_on(TODAY - DAY).clear()
        assert listed(sandbox) == []


@pytest.mark.parametrize("endpoint", ["phone-numbers", "agents", "calls"])
@pytest.mark.parametrize(("fault", "more"), [("shrinking", -1), ("growing", 1), ("swapping", 0)])
def test_a_list_moves_while_it_is_read(endpoint: str, fault: str, more: int) -> None:
    account = Account(size=60, founded=TODAY)
    query = {"date_from": TODAY - 5 * DAY, "date_to": TODAY - 3 * DAY, "per_page": 100}
    with Sandbox(account, pagination="none") as sandbox:
        before = ids(get(sandbox, endpoint, **query).json()["data"])
        sandbox.faults = [Fault(fault, endpoint)]
        moved = ids(get(sandbox, endpoint, **query).json()["data"])
    kept = before[1:] if fault != "growing" else before
    new = [id for id in moved if id not in before]
    assert moved == {"shrinking": kept, "growing": [*new, *kept], "swapping": [*kept, *new]}[fault]
    assert len(moved) == len(before) + more


@pytest.mark.parametrize("endpoint", ["agents", "calls"])
def test_a_list_may_move_until_all_of_it_is_new(endpoint: str) -> None:
    account = Account(size=8, founded=TODAY)
    query = {"date_from": TODAY - 3 * DAY, "date_to": TODAY - 3 * DAY}
    with Sandbox(account, pagination="none") as sandbox:
        before = ids(get(sandbox, endpoint, **query).json()["data"])
        sandbox.faults = [Fault("swapping", endpoint, times=len(before))]
        for _ in before:
            after = ids(get(sandbox, endpoint, **query).json()["data"])
        assert len({*before, *after}) == 2 * len(before) > 0
        sandbox.faults = [Fault("shrinking", endpoint, times=99)]
        for _ in range(len(after) + 1):
            left = get(sandbox, endpoint, **query).json()["data"]
        assert left == []
    account.buy()  # where there is no agent to assign
    account.advance(TODAY + 90 * DAY)


def test_two_tokens_of_an_account_let_it_live_once() -> None:
    account, alone = Account(4, 9, TODAY), Account(4, 9, TODAY)
    with Sandbox({"talq_old": account, "talq_new": account}) as sandbox:
        assert get(sandbox, token="talq_old").json() == get(sandbox, token="talq_new").json()
        assert sandbox.advance(30) == TODAY + 30 * DAY
    alone.advance(TODAY + 30 * DAY)
    assert account.numbers == alone.numbers


def test_no_account_lives_longer_than_until_today() -> None:
    with Sandbox(Account(4, 9, TODAY)) as sandbox:
        url = sandbox.base_url.replace("/api/v1", "/sandbox/advance")
        for days in (str(sandbox.days_left + 1), "9" * 5000):
            assert requests.post(url, params={"days": days}, timeout=5).status_code == 422
        assert sandbox.today == TODAY


def test_it_listens_on_loopback_alone() -> None:
    with Sandbox(Account(size=1, founded=TODAY)) as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        with socket.socket() as asked:
            assert asked.connect_ex(("127.0.0.2", sandbox.port)) != 0, "another address of this very machine"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500", Fault("500")),
        ("cut,endpoint=phone-numbers,page=2,times=3", Fault("cut", "phone-numbers", 2, 3)),
    ],
)
def test_a_fault_is_read_from_the_command_line(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize("text", ["flood", "500,where=here", "500,page=", "500,page=x"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fault|page|invalid literal"):
        Fault.parse(text)
