"""What is open, and what a schedule is woken for: kinds, thresholds, exit codes."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from html import unescape
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dlt
import pytest
from sqlglot import exp

from talkover import ConfigurationError, NothingLoaded, OpenFinding, open_findings
from talkover.cli import main
from talkover.report.alerts import KINDS, OF_THE_VIEW, tell_slack
from talkover.sandbox import Account, Sandbox
from talkover.views.thresholds import LOWEST
from talkover.views.translation import view_query

from .conftest import TODAY, Connect, Connector, at
from .test_views import number, request

FIRST, SECOND = at("2026-01-01T00:00:00"), at("2026-01-02T06:30:00.654321")
SETTINGS = "TALKOVER__FINDINGS__"


class Slack:
    """A server that keeps the messages that are posted to it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200

    def __enter__(self) -> Slack:
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                slack.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(slack.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def account() -> Account:
    account = Account(size=0, founded=TODAY)
    rows = [
        # BigQuery's emulator has no table without a row
        number("approved", number="+15550001", monthly_renewal_cost="3.00", agents=[{"id": "ana"}]),
        number("dearer", number="+15550002"),
        number("cheaper", number="+15550003", monthly_renewal_cost="9.50", currency="EUR"),
        number("as it was", number="+15550004"),
        number("unpriced", number="+15550005", monthly_renewal_cost=None, currency=None),
    ]
    account.numbers = {row["id"]: row for row in rows}
    account.requests = {"r": request("r", "approved", "2025-12-01", "2025-12-05", "approved")}
    return account


@pytest.fixture
def repriced(account: Account, connector: Connector) -> Connector:
    """Loaded twice: with the second load two prices had moved, one number was new and one was gone."""
    connector.load(observed_at=FIRST)
    account.numbers["dearer"]["monthly_renewal_cost"] = "2.50"
    account.numbers["cheaper"]["monthly_renewal_cost"] = "8.00"
    account.numbers["new"] = number("new", number="+15550006")
    del account.numbers["as it was"]
    connector.load(observed_at=SECOND)
    return connector


def found(connector: Connector, *kinds: str) -> list[OpenFinding]:
    return open_findings(kinds or None, destination=connector.destination)


def found_kinds(connector: Connector, *kinds: str) -> dict[str, int]:
    listed = [finding.finding for finding in found(connector, *kinds)]
    return {kind: listed.count(kind) for kind in listed}


def set_listed(connector: Connector, ago: timedelta) -> None:
    """As if the last load had been so long ago."""
    instant = f"'{datetime.now(timezone.utc) - ago:%Y-%m-%d %H:%M:%S}+00'"
    columns = ("phone_numbers_listed_at", "release_requests_listed_at")
    assignments = ", ".join(f"{column} = {instant}" for column in columns)
    connector.update("load_runs", assignments)


# What is open.


def test_the_kinds_are_those_of_the_view() -> None:
    (step,) = [step for step in view_query("findings", "duckdb").find_all(exp.CTE) if step.alias == "found"]
    assert tuple(selects(step.this)) == OF_THE_VIEW


def selects(query: Any) -> Iterator[str]:
    """The first literal of each part of a union."""
    if isinstance(query, exp.Union):
        yield from selects(query.left)
        query = query.right
    yield query.expressions[0].unalias().this


@pytest.mark.essential
def test_what_is_open_is_told_kind_by_kind(repriced: Connector) -> None:
    listed = found(repriced)
    assert [(each.finding, each.phone_number, each.monthly_cost) for each in listed] == [
        ("approved_still_listed", "+15550001", Decimal("3.00")),
        ("price_changed", "+15550003", Decimal("-1.50")),
        ("price_changed", "+15550002", Decimal("0.50")),
    ]
    approved, cheaper, dearer = listed
    assert approved.action == "Ask Talkover support to complete the release."
    assert (cheaper.currency, cheaper.evidence) == ("EUR", "-1.50 EUR a month since 2026-01-02")
    assert (dearer.currency, dearer.evidence) == ("USD", "+0.50 USD a month since 2026-01-02")


def test_a_price_that_moved_before_the_last_load_is_no_news(repriced: Connector) -> None:
    repriced.load(observed_at=SECOND + timedelta(hours=1))
    assert found_kinds(repriced) == {"approved_still_listed": 1}


def test_a_load_of_one_environment_leaves_the_news_of_another(connect: Connect, account: Account) -> None:
    other = Account(size=0, founded=TODAY)
    other.numbers = {"x": number("x", number="+15550009")}
    with Sandbox({"talq_live": account, "talq_test": other}) as sandbox:
        connector = connect(sandbox)
        both = {"live": "talq_live", "test": "talq_test"}
        connector.load(api_token=None, environments=both, observed_at=FIRST)
        other.numbers["x"]["monthly_renewal_cost"] = "4.00"
        connector.load(api_token=None, environments=both, observed_at=SECOND)
        connector.load(api_token="talq_live", environment_key="live", observed_at=SECOND + timedelta(days=1))
    (changed,) = found(connector, "price_changed")
    assert (changed.environment_key, changed.monthly_cost) == ("test", Decimal("2.00"))


def test_every_kind_can_be_asked_for(repriced: Connector) -> None:
    assert found_kinds(repriced, *KINDS) == {
        "approved_still_listed": 1,
        "missing_cost": 1,
        "missing_currency": 1,
        "price_changed": 2,
    }
    (unpriced,) = found(repriced, "missing_currency")
    assert (unpriced.currency, unpriced.monthly_cost) == (None, None)


@pytest.mark.duckdb
@pytest.mark.parametrize(("hours", "is_stale"), [(25, False), (27, True)])
def test_lists_that_no_load_has_read_for_a_day_are_stale(hours: int, is_stale: bool, repriced: Connector) -> None:
    set_listed(repriced, timedelta(hours=hours))
    stale = found(repriced, "stale_data")
    assert [finding.evidence.split(":")[0] for finding in stale] == ["phone_numbers", "release_requests"] * is_stale


@pytest.mark.duckdb
def test_how_old_is_stale_is_a_setting(repriced: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    set_listed(repriced, timedelta(hours=3))
    monkeypatch.setenv(f"{SETTINGS}STALE_HOURS", "2")
    assert found_kinds(repriced, "stale_data") == {"stale_data": 2}


@pytest.mark.duckdb
def test_a_list_that_is_configured_to_be_left_out_is_never_stale(
    repriced: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_listed(repriced, timedelta(days=9))
    monkeypatch.setenv("SOURCES__TALKOVER__WITHOUT", '["release_requests"]')
    (stale,) = found(repriced, "stale_data")
    assert stale.evidence.startswith("phone_numbers: last complete listing 2")


@pytest.mark.duckdb
@pytest.mark.parametrize("is_wanted", [True, False])
def test_agents_are_stale_only_where_they_are_wanted(
    is_wanted: bool, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector.load(agents=True)
    connector.update("load_runs", "agents_listed_at = '2026-01-01 00:00:00+00'")
    if is_wanted:
        monkeypatch.setenv("SOURCES__TALKOVER__WITH", '["agents"]')
    assert [stale.evidence for stale in found(connector, "stale_data")] == [
        "agents: last complete listing 2026-01-01 00:00 UTC"
    ] * is_wanted


# The command.


@pytest.mark.duckdb
def test_the_command_prints_what_is_open(repriced: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "approved_still_listed: Release approved more than 7 days ago, but still listed and paid for. "
        "Ask Talkover support to complete the release."
    )
    assert lines[1].split()[:4] == ["+15550001", "default", "3.00", "USD"]
    assert [line.split(":")[0] for line in lines if line and line[0] != " "] == [
        "approved_still_listed",
        "missing_cost",
        "missing_currency",
        "price_changed",
    ]


@pytest.mark.duckdb
def test_fail_ends_with_3_where_an_alert_is_open_and_prints_the_alerts_alone(
    repriced: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings", "--fail"]) == 3
    assert "missing_cost" not in capsys.readouterr().out


@pytest.mark.duckdb
def test_fail_ends_with_0_where_nothing_is_open(
    account: Account, connector: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    account.requests.clear()
    connector.load()
    assert main(["findings", "--fail"]) == 0
    assert capsys.readouterr().out == "nothing is open\n"


@pytest.mark.duckdb
def test_a_kind_that_is_named_is_the_only_one(repriced: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["findings", "--kind", "missing_cost", "--kind", "no_agent", "--fail", "--json"]) == 3
    printed = json.loads(capsys.readouterr().out)
    assert printed["open"] == 1
    assert printed["findings"][0] == {
        "finding": "missing_cost",
        "environment_key": "default",
        "phone_number": "+15550005",
        "currency": None,
        "monthly_cost": None,
        "description": "The API reports no monthly cost: excluded from totals.",
        "action": "Look up its cost in the Talkover dashboard.",
        "evidence": "status unknown",
    }


@pytest.mark.duckdb
def test_what_wakes_somebody_is_a_setting(
    repriced: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{SETTINGS}ALERTS", '["missing_cost"]')
    assert main(["findings", "--fail", "--json"]) == 3
    assert [each["finding"] for each in json.loads(capsys.readouterr().out)["findings"]] == ["missing_cost"]
    monkeypatch.setenv(f"{SETTINGS}ALERTS", '["no_agent"]')
    assert main(["findings", "--fail"]) == 0


@pytest.mark.duckdb
@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (["--kind", "missing"], {}, "kinds: 'missing' is no kind of finding. There are approved_still_listed, "),
        ([], {"ALERTS": '["nothing"]'}, "alerts: 'nothing' is no kind of finding"),
        ([], {"ALERTS": "[]"}, "alerts names no kind of finding. There are"),
        ([], {"STALE_HOURS": "0"}, "stale_hours must be 1 to 100,000, and is 0"),
        ([], {"STALE_HOURS": "9" * 20}, "stale_hours must be 1 to 100,000, and is 9999"),
    ],
)
def test_what_cannot_be_looked_for_exits_2(
    arguments: list[str],
    settings: dict[str, str],
    complaint: str,
    repriced: Connector,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(SETTINGS + name, value)
    assert main(["findings", "--fail", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_without_a_load_there_is_nothing_to_look_at() -> None:
    with pytest.raises(NothingLoaded, match="run `talkover load` first"):
        open_findings()


# Slack.


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slack]:
    with Slack() as running:
        monkeypatch.setenv("RUNTIME__SLACK_INCOMING_HOOK", f"{running.url}/services/T0/B0/secret")
        dlt.current.run_context().reload()
        yield running


@pytest.mark.duckdb
def test_slack_is_told_where_its_hook_is_configured(
    repriced: Connector, slack: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["findings"]) == 0
    assert slack.messages == []
    capsys.readouterr()
    assert main(["findings", "--fail"]) == 3
    (message,) = slack.messages
    assert unescape(message["text"]) == capsys.readouterr().out.rstrip("\n")


@pytest.mark.duckdb
def test_slack_takes_no_name_for_a_call_or_a_link(slack: Slack) -> None:
    tell_slack("<!channel> & <http://127.0.0.1:9|your bank>")
    assert [message["text"] for message in slack.messages] == [
        "&lt;!channel&gt; &amp; &lt;http://127.0.0.1:9|your bank&gt;"
    ]


@pytest.mark.duckdb
def test_a_hook_that_refuses_is_no_success_and_stays_secret(
    repriced: Connector, slack: Slack, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    slack.status = 403
    caplog.set_level(logging.DEBUG)
    assert main(["findings", "--fail"]) == 1
    printed = capsys.readouterr()
    assert "B0/secret" not in caplog.text
    assert printed.out.startswith("approved_still_listed: ")
    assert printed.err == "talkover: the findings are printed, but the Slack hook did not take them: HTTPError 403\n"


# Thresholds.


def test_a_threshold_is_a_setting(repriced: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{SETTINGS}GRACE_DAYS", "3000")
    assert found_kinds(repriced, "approved_still_listed") == {"approved_still_listed": 1}, "the views are not made yet"
    repriced.load()
    assert found_kinds(repriced, "approved_still_listed") == {}
    monkeypatch.delenv(f"{SETTINGS}GRACE_DAYS")
    repriced.load()
    assert found_kinds(repriced, "approved_still_listed") == {"approved_still_listed": 1}


def test_each_threshold_has_its_place_in_the_view(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever renames a column of findings.sql would lose the setting without a word."""
    for place, name in enumerate(LOWEST):
        monkeypatch.setenv(SETTINGS + name.upper(), "[111, 222]" if name == "quiet_days" else f"{9000 + place}")
    assert main(["views", "--print", "duckdb"]) == 0
    statement = " ".join(capsys.readouterr().out.split())
    for place, name in enumerate(LOWEST):
        values = ("111", "222") if name == "quiet_days" else (f"{9000 + place}",)
        assert all(f"{value} AS {name}" in statement or f"{value}.0 AS {name}" in statement for value in values)
    assert "30 AS quiet_days" not in statement


@pytest.mark.duckdb
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("GRACE_DAYS", "-1", "grace_days must be 0 to 100,000, and is -1"),
        ("PRICE_FACTOR", "0.5", "price_factor must be 1 to 100,000, and is 0.5"),
        ("PRICE_FACTOR", "nan", "price_factor must be 1 to 100,000, and is nan"),
        ("QUIET_DAYS", "[]", "quiet_days names no days"),
        ("QUIET_DAYS", "[30, 0]", "quiet_days must be 1 to 100,000"),
        ("KNOWN_DAYS", "soon", "known_days"),
    ],
)
def test_a_threshold_that_cannot_work_is_refused_before_anything_is_requested(
    name: str, value: str, complaint: str, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTINGS + name, value)
    with pytest.raises(ConfigurationError, match=complaint):
        connector.load()
    assert connector.sandbox.seen == []
