"""Environments that get another name, end, or are mixed up: no number counts twice, and no history is lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from talkover import ConfigurationError, LoadError, NothingLoaded, Summary, SuspiciousRemoval, open_findings
from talkover.cli import main
from talkover.load.check import check_account
from talkover.load.environments import Retired, rename_environment, retire_environment
from talkover.sandbox import Account, Sandbox
from talkover.views import view_names

from .conftest import TABLES, TODAY, Connect, Connector, Row, at, changes
from .warehouses import in_postgres

TOKENS = {"live": "talq_live", "test": "talq_test"}
FIRST, SECOND, THIRD = at("2026-03-15T05:00:00"), at("2026-03-16T05:00:00"), at("2026-03-17T05:00:00")


def lived(account: Account) -> Account:
    account.advance(TODAY)
    return account


@pytest.fixture
def live() -> Account:
    return lived(Account(seed=1, size=12, founded=TODAY - timedelta(days=20)))


@pytest.fixture
def both(live: Account, connect: Connect) -> Iterator[Connector]:
    test = lived(Account(seed=2, size=5, founded=TODAY - timedelta(days=20)))
    with Sandbox({TOKENS["live"]: live, TOKENS["test"]: test}) as sandbox:
        yield connect(sandbox)


def load(
    connector: Connector, observed_at: datetime, *, agents: bool = True, calls: bool = True, **environments: str
) -> Summary:
    """A load of `environments`, name to the account's; of both under their own names unless given."""
    tokens = {name: TOKENS[of] for name, of in (environments or {name: name for name in TOKENS}).items()}
    more = {"agents": agents, "calls": calls, "calls_since": TODAY - timedelta(days=2)}
    return connector.load(api_token=None, environments=tokens, observed_at=observed_at, **more)


def where(connector: Connector) -> dict[str, Any]:
    return {"destination": connector.destination, "dataset": connector.dataset}


def called(rows: list[Row], new: str, old: str) -> list[Row]:
    """`rows` as they are once environment `old` is called `new`."""
    return [{name: new if value == old else value for name, value in row.items()} for row in rows]


# Another name.


@pytest.mark.essential
@pytest.mark.slow
def test_an_environment_with_another_name_keeps_its_history_and_no_row_counts_as_changed(
    live: Account, both: Connector
) -> None:
    load(both, FIRST)
    live.release(next(iter(live.numbers)))
    load(both, SECOND)
    names = ("phone_number_changes", "release_requests", "agents", "calls", "call_windows", "monthly_cost", "findings")
    before = both.tables(*names)
    assert rename_environment("live", "production", **where(both))
    after = both.tables(*names)
    for name in names:
        assert before[name], name
        assert sorted(called(before[name], "production", "live"), key=str) == sorted(after[name], key=str), name
    assert {row["environment_key"] for row in both.rows("load_runs")} == {"production", "test"}
    assert changes(load(both, THIRD, production="live", test="test")) == {(0, 0, 0)}
    assert not rename_environment("live", "production", **where(both)), "it is safe to run it again"
    assert rename_environment("production", "main", **where(both))
    live.numbers[next(iter(live.numbers))]["label"] = "new"
    changed = load(both, at("2026-03-18T05:00:00"), main="live", test="test").resources["phone_numbers"]
    assert changed is not None
    assert (changed.added, changed.changed, changed.removed) == (0, 1, 0)


@pytest.mark.slow
def test_a_rename_that_was_interrupted_is_finished(both: Connector) -> None:
    load(both, FIRST, live="live")
    for table in ("calls", "phone_number_changes"):
        both.update(table, "environment_key = 'production'")
    assert rename_environment("live", "production", **where(both))
    for table, rows in both.tables("calls", "phone_numbers", "phone_number_changes", "load_runs").items():
        assert {row["environment_key"] for row in rows} == {"production"}, table
    assert changes(load(both, SECOND, production="live")) == {(0, 0, 0)}


@pytest.mark.slow
@pytest.mark.postgres
def test_where_one_table_cannot_be_changed_none_is(
    live: Account, request: pytest.FixtureRequest, workspace: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox({TOKENS["live"]: live}) as sandbox:
        connector = Connector(sandbox, in_postgres(request, monkeypatch))
        load(connector, FIRST, live="live")
    before = connector.tables(*TABLES, "load_runs")
    no_room = "begin raise 'no room'; end"
    connector.execute(f"create function refuse() returns trigger language plpgsql as $$ {no_room} $$")
    refused = "create trigger refused before {} on {{{}}} execute function refuse()"
    connector.execute(refused.format("update of environment_key", "load_runs"))
    connector.execute(refused.format("delete", "agents"))
    with pytest.raises(LoadError, match="no room"):
        rename_environment("live", "production", **where(connector))
    with pytest.raises(LoadError, match="no room"):
        retire_environment("live", observed_at=SECOND, **where(connector))
    assert connector.tables(*TABLES, "load_runs") == before


@pytest.mark.slow
def test_a_number_that_moves_to_an_environment_with_the_old_name_is_seen(live: Account, both: Connector) -> None:
    load(both, FIRST, live="live")
    rename_environment("live", "production", **where(both))
    load(both, SECOND, production="live", live="test")
    moved = next(iter(live.numbers))
    both.sandbox.accounts[TOKENS["test"]].numbers[moved] = live.numbers.pop(moved)  # type: ignore[index]
    load(both, THIRD, production="live", live="test")
    assert both.by_id()[moved]["environment_key"] == "live"


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_new_name_in_the_settings_alone_is_refused_with_the_command(both: Connector) -> None:
    load(both, FIRST)
    before = both.state()
    with pytest.raises(SuspiciousRemoval, match="`talkover environment rename live production`"):
        load(both, SECOND, production="live", test="test")
    assert both.state() == before
    rename_environment("live", "production", **where(both))
    assert changes(load(both, SECOND, production="live", test="test")) == {(0, 0, 0)}


@pytest.mark.duckdb
def test_two_environments_do_not_become_one_and_an_unknown_one_is_named(both: Connector) -> None:
    with pytest.raises(NothingLoaded):
        rename_environment("live", "production")
    load(both, FIRST)
    before = both.state()
    for old, new, says in (
        ("live", "test", "'test' has a history of its own"),
        ("prod", "production", "no environment 'prod' was loaded. There are 'live', 'test'"),
        ("prod", "live", "no environment 'prod' was loaded"),
        ("live", "live", "no other name"),
        ("live", " ", "no other name"),
        ("live", "\udcff", "no other name"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            rename_environment(old, new)
    assert both.state() == before


# The end.


@pytest.mark.essential
@pytest.mark.slow
def test_an_environment_that_ended_holds_nothing_and_keeps_its_history(live: Account, both: Connector) -> None:
    load(both, FIRST)
    history = ("release_requests", "release_request_changes", "calls", "call_windows")
    before = both.tables(*history, "phone_number_changes")
    ended = retire_environment("live", observed_at=SECOND, **where(both))
    assert ended == Retired(len(live.numbers), len(live.agents), SECOND)
    for table in ("phone_numbers", "phone_number_agents", "agents", "agent_phone_numbers"):
        assert {row["environment_key"] for row in both.rows(table)} <= {"test"}, table
    assert both.tables(*history) == {name: before[name] for name in history}
    log = both.rows("phone_number_changes")
    assert [row for row in log if row["change_type"] != "removed"] == before["phone_number_changes"]
    removed = [row for row in log if row["change_type"] == "removed"]
    assert len(removed) == len(live.numbers)
    assert {(row["environment_key"], row["changed_at"]) for row in removed} == {("live", SECOND)}
    of_live = [row for row in both.rows("monthly_cost") if row["environment_key"] == "live"]
    assert sum(row["removed_numbers"] for row in of_live) == len(removed), "the cost left in the month of the end"
    assert {row["closing_numbers"] for row in of_live} == {0}
    assert {row["environment_key"] for row in both.rows("data_health")} == {"test"}
    assert retire_environment("live", **where(both)) == Retired(0, 0, None), "it is safe to run it again"
    assert len(both.rows("phone_number_changes")) == len(log)
    summary = load(both, THIRD, test="test")
    assert summary.notes == []
    assert changes(summary) == {(0, 0, 0)}


@pytest.mark.slow
@pytest.mark.duckdb
def test_an_environment_without_agents_ends_as_well(both: Connector) -> None:
    """Where no agent was ever loaded there is no table of them."""
    load(both, FIRST, agents=False, calls=False)
    numbers = len([row for row in both.rows("phone_numbers") if row["environment_key"] == "live"])
    assert retire_environment("live", observed_at=SECOND) == Retired(numbers, 0, SECOND)
    assert {row["environment_key"] for row in both.rows("phone_numbers")} == {"test"}
    removed = [row["environment_key"] for row in both.rows("phone_number_changes") if row["change_type"] == "removed"]
    assert removed == ["live"] * numbers
    assert {row["closing_numbers"] for row in both.rows("monthly_cost") if row["environment_key"] == "live"} == {0}


@pytest.mark.slow
@pytest.mark.duckdb
def test_the_end_of_an_environment_has_an_instant_of_its_own(both: Connector) -> None:
    load(both, FIRST)
    with pytest.raises(ConfigurationError, match="is not between the environment's last load"):
        retire_environment("live", observed_at=FIRST)
    with pytest.raises(ConfigurationError, match="is not between the environment's last load"):
        retire_environment("live", observed_at=datetime.max.replace(tzinfo=timezone.utc))
    retire_environment("live", observed_at=SECOND)
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        load(both, SECOND)
    load(both, THIRD)


@pytest.mark.slow
@pytest.mark.duckdb
def test_the_report_of_an_account_whose_environments_all_ended_has_their_history(both: Connector) -> None:
    load(both, FIRST)
    for name in ("live", "test"):
        retire_environment(name, observed_at=SECOND)
    assert main(["report"]) == 0
    assert "These figures are old" not in Path("report.html").read_text()


@pytest.mark.slow
def test_an_environment_that_ended_may_begin_again(live: Account, both: Connector) -> None:
    load(both, FIRST)
    retire_environment("live", observed_at=SECOND, **where(both))
    numbers = load(both, THIRD).resources["phone_numbers"]
    assert numbers is not None
    assert (numbers.added, numbers.changed, numbers.removed) == (len(live.numbers), 0, 0)
    assert {row["environment_key"] for row in both.rows("data_health")} == {"live", "test"}


@pytest.mark.duckdb
def test_what_cannot_end_is_refused(both: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    load(both, SECOND)
    before = both.state()
    monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", '{"live": "talq_live"}')
    for name, observed_at, says in (
        ("live", None, "'live' is configured, and the next load would bring its numbers back"),
        ("prod", None, "no environment 'prod' was loaded"),
        ("test", FIRST, "history only goes forward"),
        ("test", datetime.now(timezone.utc) + timedelta(days=3), "history only goes forward"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            retire_environment(name, observed_at=observed_at)
    assert both.state() == before


@pytest.mark.slow
def test_every_view_stands_after_both(both: Connector) -> None:
    load(both, FIRST)
    rename_environment("test", "staging", **where(both))
    retire_environment("live", observed_at=SECOND, **where(both))
    for name, rows in both.tables(*view_names()).items():
        assert not {row.get("environment_key") for row in rows} & {"test"}, name
    assert {row["environment_key"] for row in both.rows("current_numbers")} == {"staging"}


# Environments that are left behind, or mixed up.


@pytest.mark.duckdb
@pytest.mark.slow
def test_an_environment_that_is_configured_no_more_is_named_with_the_commands(
    both: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(both, FIRST)
    [note] = load(both, SECOND, live="live").notes
    for says in (
        "'test', last loaded 2026-03-15 05:00 UTC",
        "environment rename test NEW`",
        "environment retire test`",
    ):
        assert says in note
    health = {(row["environment_key"], row["was_in_last_load"]) for row in both.rows("data_health")}
    assert health == {("live", True), ("test", False)}
    monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", '{"live": "talq_live"}')
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", both.sandbox.base_url)
    findings = {finding.what: finding for finding in check_account(both.destination, both.dataset)}
    assert "`talkover environment retire test`" in findings["environment test"].says
    assert all(finding.is_good for finding in findings.values())


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_load_that_is_repeated_leaves_nobody_behind(both: Connector) -> None:
    load(both, FIRST)
    assert load(both, FIRST).notes == []


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_new_environment_with_an_old_name_is_another_one(both: Connector) -> None:
    load(both, FIRST, live="live")
    rename_environment("live", "production")
    both.sandbox.accounts[TOKENS["test"]].numbers.clear()  # type: ignore[index]
    load(both, SECOND, production="live", live="test")
    with pytest.raises(ConfigurationError, match="two cannot become one"):
        rename_environment("live", "production")


@pytest.mark.duckdb
@pytest.mark.slow
def test_a_new_name_is_refused_where_numbers_are_left_out_too(both: Connector) -> None:
    load(both, FIRST, live="live")
    with pytest.raises(SuspiciousRemoval, match="`talkover environment rename live production`"):
        both.load(
            api_token=None,
            environments={"production": TOKENS["live"]},
            observed_at=SECOND,
            agents=True,
            without=["phone_numbers"],
        )


@pytest.mark.duckdb
@pytest.mark.slow
def test_an_account_that_was_retired_may_be_loaded_under_another_name(
    both: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(both, FIRST)
    retire_environment("live", observed_at=SECOND)
    monkeypatch.setenv("SOURCES__TALKOVER__ENVIRONMENTS", '{"new": "talq_live", "test": "talq_test"}')
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", both.sandbox.base_url)
    assert all(finding.is_good for finding in check_account())
    load(both, THIRD, new="live", test="test")
    with pytest.raises(SuspiciousRemoval, match="the token may be that one's. Nothing was loaded. If the rows"):
        load(both, at("2026-03-18T05:00:00"), live="live", test="test")


@pytest.mark.duckdb
@pytest.mark.slow
def test_the_alert_and_the_report_name_an_environment_that_is_loaded_no_more(both: Connector) -> None:
    load(both, FIRST)
    for listing in ("phone_numbers", "release_requests"):
        both.update("load_runs", f"{listing}_listed_at = '2026-03-15 05:00:00+00'")
    load(both, SECOND, live="live")
    stale = open_findings(["stale_data"], dataset=both.dataset)
    assert {finding.environment_key for finding in stale} == {"test"}
    assert all("`talkover environment retire test`" in finding.action for finding in stale)
    assert main(["report"]) == 0
    assert "Not part of the last load: test." in Path("report.html").read_text()


@pytest.mark.duckdb
def test_ids_that_two_environments_share_are_refused(live: Account, both: Connector) -> None:
    shared = next(iter(live.numbers))
    both.sandbox.accounts[TOKENS["test"]].numbers[shared] = live.numbers[shared]  # type: ignore[index]
    with pytest.raises(SuspiciousRemoval, match=f"'live' and 'test' both list id '{shared}' of /phone-numbers"):
        load(both, FIRST)
    assert both.rows("phone_numbers") == []


# The command.


@pytest.mark.duckdb
@pytest.mark.slow
def test_the_command_says_what_it_did(both: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    load(both, FIRST)
    capsys.readouterr()
    for arguments, says in (
        (
            ["rename", "live", "production"],
            "live is production now, with its history. Call it so in your settings, too",
        ),
        (["rename", "live", "production"], "nothing to do: nothing is called live any more, and production is there"),
        (["retire", "test", "--observed-at", "2026-03-16"], "test ended at 2026-03-16 00:00:00 UTC: "),
        (["retire", "test"], "nothing to do: test has been retired already"),
    ):
        assert main(["environment", *arguments]) == 0
        assert says in capsys.readouterr().out
    assert main(["environment", "retire", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("talkover: no environment 'nothing' was loaded")
