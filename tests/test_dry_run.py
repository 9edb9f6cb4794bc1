"""A dry run: what a load would add, change, remove and refuse, and that it leaves no trace."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from talkover import AuthenticationError, LoadError, SuspiciousRemoval
from talkover.cli import main
from talkover.load.dry_run import DryRun, dry_run
from talkover.sandbox import Account

from .conftest import Connector


def tried(connector: Connector, **arguments: Any) -> DryRun:
    account = {"api_token": connector.sandbox.token, "base_url": connector.sandbox.base_url}
    return dry_run(destination=connector.destination, dataset=connector.dataset, **account | arguments)


def counts(found: DryRun, resource: str) -> dict[str, int]:
    types = [change.change_type for change in found.changes[resource]]
    return {name: types.count(name) for name in sorted(set(types))}


def files(folder: Path) -> dict[str, bytes]:
    """Without those that tell who holds a lock."""
    kept = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".lock", ".holder")]
    return {str(path): path.read_bytes() for path in kept}


@pytest.mark.essential
@pytest.mark.slow
def test_a_dry_run_shows_each_field_that_differs_and_changes_nothing(account: Account, loaded: Connector) -> None:
    changed, gone, *others = account.numbers.values()
    request = next(iter(account.requests.values()))
    old = {name: changed[name] for name in ("label", "monthly_renewal_cost") if name in changed}
    changed |= {"monthly_renewal_cost": "77.1", "type": "fax", "field_of_tomorrow": 7, "formatted_number": '{"a": 1}'}
    request["status"] = "cancelled"
    for number in others:
        number["days_until_monthly_renewal"] = (number["days_until_monthly_renewal"] or 0) + 1
    del account.numbers[gone["id"]]
    new = account.buy()
    before = loaded.tables("phone_numbers", "phone_number_changes", "release_requests", "load_runs")
    found = tried(loaded)
    assert loaded.tables(*before) == before
    assert found.refused is None
    assert found.listed["phone_numbers"] == len(account.numbers)
    assert counts(found, "phone_numbers") == {"added": 1, "changed": 1, "removed": 1}
    by_id = {change.id: change for change in found.changes["phone_numbers"]}
    assert by_id[new["id"]].row["number"] == new["number"]
    assert by_id[gone["id"]].row["number"] == gone["number"]
    fields = by_id[changed["id"]].fields
    assert fields.keys() == {"monthly_renewal_cost", "type", "field_of_tomorrow", "formatted_number"}
    assert fields["formatted_number"][1] == '{"a": 1}', "text stays text"
    assert fields["monthly_renewal_cost"] == (Decimal(str(old["monthly_renewal_cost"])), Decimal("77.1"))
    assert fields["field_of_tomorrow"] == (None, 7)
    [of_request] = found.changes["release_requests"]
    assert (of_request.id, of_request.fields["status"][1]) == (request["id"], "cancelled")
    summary = loaded.load()
    for resource, counted in summary.resources.items():
        if counted:
            assert len(found.changes[resource]) >= counted.added + counted.removed, resource
    assert counts(tried(loaded), "phone_numbers") == {}


def test_what_would_be_refused_is_shown_all_the_same(account: Account, loaded: Connector) -> None:
    before = loaded.state()
    lost = list(account.numbers)[:50]
    for id in lost:
        del account.numbers[id]
    found = tried(loaded)
    assert isinstance(found.refused, SuspiciousRemoval)
    assert "50 would be removed" in str(found.refused)
    assert {change.id for change in found.changes["phone_numbers"]} == set(lost)
    assert counts(found, "phone_numbers") == {"removed": 50}
    assert tried(loaded, allow_mass_removal=True).refused is None
    assert loaded.state() == before


def test_agents_are_compared_where_they_are_asked_for(account: Account, connector: Connector) -> None:
    connector.load(agents=True)
    account.hire()
    found = tried(connector, agents=True)
    assert counts(found, "agents") == {"added": 1}
    assert found.changes["agents"][0].row == {"name": account.agents[-1]["name"]}
    assert "agents" not in tried(connector).changes


@pytest.mark.duckdb
def test_before_the_first_load_everything_is_new_and_no_file_is_made(
    account: Account, connector: Connector, workspace: Path
) -> None:
    found = tried(connector)
    assert counts(found, "phone_numbers") == {"added": len(account.numbers)}
    assert not list(workspace.glob("*.duckdb"))


@pytest.mark.duckdb
def test_nothing_of_a_dry_run_stays(account: Account, connector: Connector, workspace: Path) -> None:
    connector.load()
    account.buy()
    before = files(workspace)
    tried(connector)
    assert files(workspace) == before


@pytest.mark.duckdb
def test_a_token_that_is_refused_ends_a_dry_run_as_it_does_a_load(loaded: Connector) -> None:
    with pytest.raises(AuthenticationError):
        tried(loaded, api_token="talq_wrong")


@pytest.mark.duckdb
def test_a_file_that_is_open_elsewhere_is_said_in_one_sentence(loaded: Connector) -> None:
    connect = "file = duckdb.connect('talkover_pipeline.duckdb')"
    hold = f"import duckdb, sys; {connect}; print('held', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", hold], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LoadError, match="talkover_pipeline.duckdb is open in another process"):
            tried(loaded)
        other.communicate("")


@pytest.mark.duckdb
def test_the_command_prints_the_changes_and_ends_as_a_load_would(
    account: Account, loaded: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", loaded.sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", loaded.sandbox.base_url)
    number = next(iter(account.numbers.values()))
    number["type"] = "fax\x1b[31m"
    assert main(["load", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "phone_numbers: 57 listed; 0 added, 1 changed, 0 removed" in printed
    assert "type: voice → fax\\x1b[31m" in printed
    assert printed.endswith("nothing was loaded\n")
    for id in list(account.numbers)[:50]:
        del account.numbers[id]
    assert main(["load", "--dry-run", "--json"]) == 1
    captured = capsys.readouterr()
    whole = json.loads(captured.out)
    assert len(whole["changes"]["phone_numbers"]) == 50
    assert "--allow-mass-removal" in whole["refused"]
    assert "--allow-mass-removal" in captured.err
    assert main(["load", "--dry-run"]) == 1
    assert "… and 10 more: --json prints all of them" in capsys.readouterr().out
    assert main(["load", "--dry-run", "--demo"]) == 2
