"""`agents` and `agent_phone_numbers`: loaded where they are wanted, and nothing of them that may be a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pytest

from talkover import talkover_source
from talkover.cli import main
from talkover.errors import ConfigurationError
from talkover.sandbox import Account, Sandbox
from talkover.sandbox.account import SECRET

from .conftest import Connector

LINKS = ("agent_id", "phone_number_id")


def pairs(connector: Connector, table: str) -> set[tuple[Any, ...]]:
    return {tuple(row[name] for name in LINKS) for row in connector.rows(table)}


@pytest.mark.essential
def test_agents_come_with_the_numbers_that_they_answer_on(account: Account, connector: Connector) -> None:
    summary = connector.load(agents=True)
    assert summary.resources["agents"].added == len(account.agents) > 0
    assert {row["id"]: row["name"] for row in connector.rows("agents")} == {
        agent["id"]: agent["name"] for agent in account.agents
    }
    assert pairs(connector, "agent_phone_numbers") == pairs(connector, "phone_number_agents") != set()
    again = connector.load(agents=True)
    assert (again.resources["agents"].added, again.resources["agents"].changed) == (0, 0)


def test_an_agent_that_is_gone_leaves_with_its_numbers_and_a_link_alone_too(
    account: Account, connector: Connector
) -> None:
    connector.load(agents=True)
    gone, kept = account.agents[0]["id"], account.agents[1]["id"]
    for number in account.numbers.values():
        number["agents"] = [agent for agent in number["agents"] or [] if agent["id"] != gone][:1]
    account.dismiss(gone)
    assert connector.load(agents=True).resources["agents"].removed == 1
    assert gone not in {row["id"] for row in connector.rows("agents")}
    assert pairs(connector, "agent_phone_numbers") == pairs(connector, "phone_number_agents")
    assert kept in {row["agent_id"] for row in connector.rows("agent_phone_numbers")}


def test_they_are_not_requested_unless_they_are_wanted(connector: Connector) -> None:
    assert connector.load().resources["agents"] is None
    assert {request.endpoint for request in connector.sandbox.seen} == {
        "phone-numbers",
        "phone-numbers/release-requests",
    }


@pytest.mark.duckdb
@pytest.mark.parametrize("how", ["argument", "setting", "with_resources"])
def test_there_are_three_ways_to_want_them(
    how: str, sandbox: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "setting":
        monkeypatch.setenv("SOURCES__TALKOVER__WITH", '["agents"]')
    arguments: dict[str, Any] = {"agents": True} if how == "argument" else {}
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, **arguments)
    if how == "with_resources":
        source = source.with_resources("agents", "agent_phone_numbers", "load_runs")
    pipeline = dlt.pipeline("wanted", destination="duckdb", dataset_name="talkover")
    pipeline.run(source)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("select count(*) from agents")
    assert rows == [(len(sandbox.accounts.agents),)]  # type: ignore[union-attr]


@pytest.mark.duckdb
def test_nothing_that_may_be_a_secret_is_kept_anywhere(
    account: Account, connector: Connector, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in account.numbers.values():
        number["agents"] = [agent | {"actions": [{"key": SECRET}]} for agent in number["agents"] or []]
    connector.load(agents=True)
    files = [path for path in workspace.rglob("*") if path.is_file()]
    assert any(path.suffix == ".duckdb" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["load", "--with", "agent"])
    assert "'agent' is not one of agents, calls" in capsys.readouterr().err


def test_a_setting_that_names_no_resource_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCES__TALKOVER__WITH", '["agent"]')
    with pytest.raises(ConfigurationError, match="^with names 'agent': it may name agents and calls$"):
        talkover_source("talq_x")
