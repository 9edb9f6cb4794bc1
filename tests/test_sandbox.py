"""The sandbox behaves as the vendor documents, and its account as accounts do."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from talkover.api.columns import read_table
from talkover.api.fields import PHONE_NUMBER, RELEASE_REQUEST
from talkover.sandbox import Account, Fault, Sandbox

from .conftest import TODAY


def get(sandbox: Sandbox, path: str = "phone-numbers", token: str | None = None, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or sandbox.token}"}
    return requests.get(f"{sandbox.base_url}/{path}", params=query, headers=headers, timeout=5)


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


def test_it_listens_on_loopback_alone() -> None:
    with Sandbox(Account(size=1, founded=TODAY)) as sandbox:
        assert sandbox.base_url.startswith("http://127.0.0.1:")
        assert sandbox._server.server_address[0] == "127.0.0.1"


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
