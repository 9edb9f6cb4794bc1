"""Calls: windows of days, what they leave out and find again, and what is never loaded."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from talkover import CallsError, ConfigurationError, IncompleteListing, Summary, UnexpectedPayload, talkover_source
from talkover.cli import main
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.server import RateLimit
from talkover.sync.parties import CallerKey

from .conftest import TODAY, Connect, Connector, at

DAY = timedelta(days=1)
SINCE = TODAY - 20 * DAY
KEY = "the key of the tests"
WEEKS = {"calls_since": SINCE, "calls_window_days": 7}
"""Three windows."""
NOON = at("2026-03-15T12:00:00")
Json = dict[str, Any]

DRIVER = """
import sys
from datetime import datetime, timezone
from talkover.load.load import load_account
from talkover.load.progress import TerminalLine

class Windows(TerminalLine):
    def update(self, name, inc=1, total=None, *_, **__): print(name, flush=True)
    def _show(self, text): pass

if __name__ == "__main__":
    token, base_url, destination, dataset, since, key = sys.argv[1:]
    day = datetime(2026, 3, 15, 11, tzinfo=timezone.utc)
    where = {"destination": destination, "dataset": dataset}
    calls = {"calls": True, "calls_since": since, "calls_window_days": 7, "caller_key": key}
    load_account(**where, **calls, api_token=token, base_url=base_url, progress=Windows(), observed_at=day)
"""


@pytest.fixture
def account() -> Account:
    return Account(seed=7, size=30, founded=TODAY)


def load(connector: Connector, **arguments: Any) -> Summary:
    given: Json = {"calls": True, **WEEKS, "caller_key": KEY, "observed_at": NOON, "create_views": False}
    return connector.load(**given | arguments)


def calls_of(account: Account, first: date = SINCE - DAY, last: date = TODAY) -> dict[str, Json]:
    """The calls that began from `first` to `last`, by id, as they are served."""
    return {call["id"]: call for call in account.calls_between(first, last)}


def assert_same(connector: Connector, account: Account, first: date = SINCE - DAY) -> None:
    """Every call stands there once, as it is served now, with our side as text and the other hashed."""
    rows = connector.rows("calls")
    served = calls_of(account, first, account.today)
    assert len(rows) == len(served)
    for row in rows:
        call = served[row["id"]]
        ours, party = (call["from"], call["to"]) if call["direction"] == "outbound" else (call["to"], call["from"])
        digits = re.sub("[^0-9]", "", party or "")
        assert (row["status"], row["duration"] or 0, row["phone_number"], row["party_hash"], row["party_number"]) == (
            call["status"],
            call.get("duration") or 0,
            ours,
            CallerKey(KEY.encode()).hash(digits) if digits else None,
            None,
        )
        assert row["created_at"] == at(call["created_at"].removesuffix("Z"))


@pytest.mark.essential
def test_calls_are_loaded_window_by_window_and_only_differences_are_sent_again(
    account: Account, connector: Connector
) -> None:
    summary = load(connector)
    counts = summary.resources["calls"]
    assert counts is not None
    assert (counts.added, counts.changed, counts.complete) == (len(calls_of(account)), 0, True)
    assert_same(connector, account)
    windows = connector.rows("call_windows")
    assert sorted((row["first_day"], row["last_day"]) for row in windows) == [
        (SINCE, SINCE + 6 * DAY),
        (SINCE + 7 * DAY, SINCE + 13 * DAY),
        (SINCE + 14 * DAY, TODAY),
    ]
    assert all(row["complete"] and row["listed"] == row["total"] for row in windows)
    connector.sandbox.seen.clear()
    counts = load(connector, observed_at=NOON + timedelta(hours=1)).resources["calls"]
    assert counts is not None
    assert (counts.added, counts.changed) == (0, 0)
    asked = [request.query for request in connector.sandbox.seen if request.endpoint == "calls"]
    assert {(query["date_from"], query["date_to"]) for query in asked} == {("2026-03-11", "2026-03-16")}


def test_a_call_that_changes_after_it_was_loaded_is_right_after_the_next_run(
    account: Account, connector: Connector
) -> None:
    load(connector)
    open_before = {row["id"] for row in connector.rows("calls") if row["status"] in ("ringing", "in-progress")}
    assert open_before
    account.advance(TODAY + DAY)
    counts = load(connector, observed_at=NOON + DAY).resources["calls"]
    assert counts is not None
    assert counts.changed >= len(open_before)
    assert_same(connector, account)
    after = {row["id"]: row for row in connector.rows("calls")}
    assert {after[id]["status"] for id in open_before} & {"ringing", "in-progress"} == set()


@pytest.mark.duckdb
@pytest.mark.parametrize(("age", "is_found"), [(0, True), (3, True), (8, False)])
def test_a_late_call_is_found_within_the_lookback(
    age: int, is_found: bool, account: Account, connector: Connector
) -> None:
    load(connector)
    like = account.calls_on(TODAY - age * DAY)[0]
    account.calls[TODAY - age * DAY].append(like | {"id": "late"})
    account.advance(TODAY + DAY)
    load(connector, observed_at=NOON + DAY)
    assert ("late" in connector.by_id("calls")) is is_found


@pytest.mark.duckdb
def test_what_is_older_than_the_lookback_comes_with_a_full_refresh(account: Account, connector: Connector) -> None:
    load(connector)
    account.calls[SINCE][0] |= {"duration": 4321, "status": "completed"}
    load(connector, observed_at=NOON + timedelta(hours=1))
    assert 4321 not in [row["duration"] for row in connector.rows("calls")]
    load(connector, observed_at=NOON + timedelta(hours=2), full_refresh=True)
    assert_same(connector, account)


@pytest.mark.duckdb
def test_a_file_takes_no_block_more_for_each_load(connector: Connector) -> None:
    """Of the rows that two loads appended DuckDB makes one part, which has a block of 256 KiB."""
    load(connector)
    load(connector, observed_at=NOON + timedelta(hours=1))
    parts = "select count(distinct row_group_id) from pragma_storage_info('talkover.load_runs')"
    with duckdb.connect("talkover_pipeline.duckdb", read_only=True) as file:
        assert file.execute(parts).fetchall() == [(1,)]


@pytest.mark.duckdb
@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_window_whose_total_never_matches_loads_nothing_of_itself_and_everything_before_it(
    window: int, account: Account, connector: Connector
) -> None:
    first_day = SINCE + 7 * window * DAY
    connector.sandbox.faults = [Fault("wrong-total", "calls", date_from=str(first_day - DAY), times=99)]
    with pytest.raises(CallsError, match=r"GET /calls .* of 2026-.*API's total is") as ended:
        load(connector)
    assert isinstance(ended.value.__cause__, IncompleteListing)
    assert ended.value.summary.resources["phone_numbers"].listed == 30
    loaded = {row["id"] for row in connector.rows("calls")}
    # A window is asked for with a day more on both sides.
    assert loaded == (set(calls_of(account, SINCE - DAY, first_day)) if window else set())
    connector.sandbox.faults = []
    load(connector, observed_at=NOON + timedelta(hours=1))
    assert_same(connector, account)


@pytest.mark.duckdb
def test_an_incomplete_window_that_is_accepted_is_loaded_and_read_again(account: Account, connector: Connector) -> None:
    connector.sandbox.faults = [Fault("wrong-total", "calls", times=99)]
    counts = load(connector, accept_incomplete=True).resources["calls"]
    assert counts is not None
    assert not counts.complete
    assert_same(connector, account)
    connector.sandbox.faults = []
    connector.sandbox.seen.clear()
    load(connector, observed_at=NOON + timedelta(hours=1))
    asked = {request.query["date_from"] for request in connector.sandbox.seen if request.endpoint == "calls"}
    assert str(SINCE - DAY) in asked
    assert {row["complete"] for row in connector.rows("call_windows")} == {True}


@pytest.mark.product
@pytest.mark.slow
@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_run_killed_in_any_window_goes_on_there(window: int, account: Account, connector: Connector) -> None:
    Path("driver.py").write_text(DRIVER)
    where = (connector.sandbox.token, connector.sandbox.base_url, connector.destination, connector.dataset)
    command = [sys.executable, "driver.py", *where, str(SINCE), KEY]
    first_day = SINCE + 7 * window * DAY
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert any(line.startswith(f"calls of {first_day} ") for line in running.stdout)
        time.sleep(0.15)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert running.returncode == -signal.SIGKILL, "the kill came after the end"
    connector.sandbox.seen.clear()
    load(connector)
    assert_same(connector, account)
    asked = {request.query["date_from"] for request in connector.sandbox.seen if request.endpoint == "calls"}
    assert {str(SINCE + 7 * earlier * DAY - DAY) for earlier in range(window)} & asked == set()


@pytest.mark.essential
def test_a_window_counts_only_where_its_load_was_completed(account: Account, connector: Connector) -> None:
    """A machine that is lost in the middle of a load takes along what was still to be sent."""
    load(connector)
    newest = max(row["first_day"] for row in connector.rows("call_windows"))
    of_newest = f"select _dlt_load_id from {{call_windows}} where first_day = date '{newest}'"
    connector.execute(f"delete from {{calls}} where _dlt_load_id in ({of_newest})")
    connector.execute(f"delete from {{_dlt_loads}} where load_id in ({of_newest})")
    shutil.rmtree("dlt")
    load(connector)
    assert_same(connector, account)


def test_a_lost_working_directory_costs_nothing(connector: Connector) -> None:
    load(connector)
    shutil.rmtree("dlt")
    connector.sandbox.seen.clear()
    counts = load(connector, observed_at=NOON + timedelta(hours=1)).resources["calls"]
    assert counts is not None
    assert (counts.added, counts.changed) == (0, 0)
    assert {request.query["date_from"] for request in connector.sandbox.seen if request.endpoint == "calls"} == {
        "2026-03-11"
    }


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_day_of_25_000_calls(account: Account, connector: Connector) -> None:
    like = account.calls_on(TODAY - 3 * DAY)[0]
    account.calls[TODAY - 3 * DAY] = [like | {"id": f"call-{n:05}"} for n in range(25_000)]
    load(connector, calls_since=TODAY - 4 * DAY)
    ids = [row["id"] for row in connector.rows("calls")]
    assert len(ids) == len(set(ids)) == len(calls_of(account, TODAY - 5 * DAY))
    assert len(ids) > 25_000


@pytest.mark.duckdb
def test_a_month_without_any_call(account: Account, connector: Connector) -> None:
    for days in range(1, 60):
        account.calls_on(TODAY - days * DAY)
        account.calls[TODAY - days * DAY] = []
    account.calls_on(TODAY)
    account.calls[TODAY] = []
    counts = load(connector).resources["calls"]
    assert counts is not None
    assert (counts.listed, counts.complete) == (0, True)
    assert connector.has("calls")
    assert connector.rows("calls") == []
    assert len(connector.rows("call_windows")) == 3


@pytest.mark.duckdb
@pytest.mark.parametrize(
    "api",
    [
        {"calls_offset": 14},
        {"calls_offset": -12},
        {"calls_until_excluded": True},
        {"pagination": "pagination"},
        {"pagination": "links"},
        {"pagination": "none"},
    ],
    ids=str,
)
def test_no_call_is_missed_whatever_the_api_leaves_open(api: Json, account: Account, connect: Connect) -> None:
    """Days of another time zone, a last day that is not included, pages announced otherwise."""
    with Sandbox(account, **api) as sandbox:
        connector = connect(sandbox)
        load(connector)
        assert calls_of(account, SINCE, TODAY).keys() <= connector.by_id("calls").keys()
        account.advance(TODAY + DAY)
        load(connector, observed_at=NOON + DAY)
        assert calls_of(account, SINCE, TODAY + DAY).keys() <= connector.by_id("calls").keys()


@pytest.mark.duckdb
@pytest.mark.parametrize("kind", ["growing", "shrinking", "swapping"])
def test_calls_that_come_while_today_is_read_do_not_stop_a_run(
    kind: str, account: Account, connector: Connector
) -> None:
    before = calls_of(account, TODAY - 3 * DAY)
    connector.sandbox.faults = [Fault(kind, "calls", times=1, page=2)]
    load(connector, calls_since=TODAY - 2 * DAY, per_page=20, max_concurrent_requests=1)
    stayed = before.keys() & calls_of(account, TODAY - 3 * DAY).keys()
    missing = stayed - connector.by_id("calls").keys()
    assert len(missing) <= (1 if kind == "swapping" else 0)
    load(connector, calls_since=TODAY - 2 * DAY, observed_at=NOON + timedelta(hours=1))
    assert calls_of(account, TODAY - 3 * DAY).keys() <= connector.by_id("calls").keys()


@pytest.mark.duckdb
def test_rows_without_direction_agent_and_update_are_read(account: Account, connect: Connect) -> None:
    """As the OpenAPI file has them: whose number it is tells the list of numbers."""
    with Sandbox(account, bare_calls=True) as sandbox:
        connector = connect(sandbox)
        load(connector)
        rows = connector.rows("calls")
    numbers = {number["number"] for number in account.numbers.values()}
    assert {row["direction"] for row in rows} == {None}
    assert {row["phone_number"] for row in rows} <= numbers | {None}
    assert sum(row["phone_number"] is not None for row in rows) > len(rows) / 2


@pytest.mark.duckdb
def test_a_persons_number_is_nowhere_unless_it_was_asked_for(
    account: Account, connector: Connector, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(connector)
    served = calls_of(account).values()
    people = {call["from"] if call["direction"] == "inbound" else call["to"] for call in served}
    people = {number for number in people if number and number.startswith("+")}
    assert len(people) > 50
    content = b"".join(path.read_bytes() for path in workspace.rglob("*") if path.is_file())
    assert [number for number in people if number.encode() in content] == []
    said = capsys.readouterr()
    assert [number for number in people if number in said.out + said.err] == []
    load(connector, keep_callers=True, full_refresh=True, observed_at=NOON + timedelta(hours=1))
    assert {row["party_number"] for row in connector.rows("calls")} >= people


@pytest.mark.duckdb
def test_calls_that_were_hashed_with_another_key_are_not_mixed(connector: Connector) -> None:
    load(connector)
    with pytest.raises(CallsError, match="were hashed with another key") as ended:
        load(connector, caller_key="another key of the tests", observed_at=NOON + timedelta(hours=1))
    assert isinstance(ended.value.__cause__, ConfigurationError)
    assert ended.value.exit_code == 2


@pytest.mark.duckdb
def test_a_list_without_any_instant_is_refused(account: Account, connector: Connector) -> None:
    for day in range(25):
        account.calls_on(TODAY - day * DAY)
        account.calls[TODAY - day * DAY] = [
            {"id": call["id"], "attributes": call} for call in account.calls[TODAY - day * DAY]
        ]
    connector.sandbox.bare_calls = True
    with pytest.raises(CallsError, match="has a created_at, so no one could tell when it was") as ended:
        load(connector)
    assert isinstance(ended.value.__cause__, UnexpectedPayload)


def test_an_environment_has_its_own_windows(connect: Connect) -> None:
    live, test = (Account(seed=seed, size=20, founded=TODAY) for seed in (1, 2))
    with Sandbox({"talq_live": live, "talq_test": test}) as sandbox:
        connector = connect(sandbox)
        tokens = {"live": "talq_live", "test": "talq_test"}
        load(connector, api_token=None, environments=tokens)
        rows = connector.rows("calls")
    for key, account in (("live", live), ("test", test)):
        assert {row["id"] for row in rows if row["environment_key"] == key} == calls_of(account).keys()
    assert len(connector.rows("call_windows")) == 6


@pytest.mark.duckdb
def test_dlt_alone_loads_every_window_in_one_run(account: Account, sandbox: Sandbox, connector: Connector) -> None:
    arguments: Json = {"calls": True, **WEEKS, "caller_key": KEY, "observed_at": NOON}
    pipeline = dlt.pipeline("talkover_pipeline", destination="duckdb", dataset_name="talkover")
    pipeline.run(talkover_source(sandbox.token, base_url=sandbox.base_url, **arguments))
    assert_same(connector, account)
    assert len(connector.rows("call_windows")) == 3
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, **arguments)
    rows = list(source.with_resources("calls", "call_windows"))
    assert len([row for row in rows if "first_day" in row]) == 3
    assert {row["id"] for row in rows if "id" in row} == connector.by_id("calls").keys()


@pytest.mark.duckdb
def test_rate_limits_hold_over_all_windows_and_the_summary_counts_their_requests(connector: Connector) -> None:
    connector.sandbox.rate_limit = RateLimit(requests=20, seconds=1)
    summary = load(connector, per_page=20)
    asked = connector.sandbox.seen
    of_calls = [tuple(request.query.items()) for request in asked if request.endpoint == "calls"]
    assert summary.requests == len(asked)
    assert summary.requests_a_minute == len(of_calls) > 20
    assert len(of_calls) - len(set(of_calls)) <= len(connector.rows("call_windows")), "what was refused came again"


@pytest.mark.duckdb
@pytest.mark.parametrize("half", ["calls", "call_windows"])
def test_calls_and_their_ledger_belong_together(half: str, sandbox: Sandbox) -> None:
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, calls=True).with_resources(half)
    pipeline = dlt.pipeline("talkover_pipeline", destination="duckdb", dataset_name="talkover")
    with pytest.raises(PipelineStepFailed, match="calls and call_windows belong together"):
        pipeline.run(source)


@pytest.fixture
def configured(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    monkeypatch.setenv("SOURCES__TALKOVER__CALLER_KEY", KEY)
    return sandbox


@pytest.mark.duckdb
def test_the_command_line_loads_them(configured: Sandbox, account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["load", "--with", "agents,calls", "--calls-since", str(SINCE), "--observed-at", "2026-03-15T12:00:00"]
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["resources"]
    assert shown["calls"]["added"] == len(calls_of(account))
    assert shown["agents"]["added"] == len(account.agents)
    assert main(command) == 0
    assert re.search(r"^calls +\d", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.duckdb
def test_a_failure_among_calls_says_what_is_loaded_and_exits_1(
    configured: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.faults = [Fault("403", "calls", times=99)]
    assert main(["load", "--with", "calls", "--calls-since", str(SINCE)]) == 1
    said = capsys.readouterr()
    assert re.search(r"^phone_numbers +30", said.out, re.MULTILINE)
    assert said.err.startswith("talkover: everything but the last calls is loaded, and the next run goes on from there")
    assert "leave calls out of `--with`" in said.err


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"calls_since": "last week"}, "calls_since: 'last week' is not an ISO 8601 date or time"),
        ({"calls_since": "0001-01-01"}, "calls_since: 0001-01-01 is no day from 2000-01-01 to today"),
        ({"calls_since": "9999-12-31"}, "calls_since: 9999-12-31 is no day from 2000-01-01 to today"),
        ({"calls_window_days": 0}, "calls_window_days and calls_most_windows must be at least 1"),
        ({"calls_most_windows": 0}, "calls_window_days and calls_most_windows must be at least 1"),
        ({"calls_lookback_days": -1}, "calls_lookback_days must be at least 0"),
        ({"calls_lookback_days": 10**10}, "calls_lookback_days must be at least 0 and at most 36,500"),
        ({"calls_lookback_days": "3"}, "calls_lookback_days must be a whole number"),
        ({"caller_key": "short"}, "caller_key must have 16 characters or more"),
        ({"keep_callers": "yes"}, "keep_callers must be True or False"),
        ({"calls": "yes"}, "calls must be True or False"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused(wrong: Json, says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        talkover_source("talq_x", **{"calls": True} | wrong)
