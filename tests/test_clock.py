"""A machine's clock that is wrong: it is set back between two runs, or the API tells another one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import time_machine

from talkover import ConfigurationError
from talkover.cli import main
from talkover.sandbox import Account, Sandbox

from .conftest import Connector, at


def test_a_clock_that_jumps_back_is_said_and_loses_nothing(
    sandbox: Sandbox, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connector = Connector(sandbox)
    connector.load()
    before, asked = connector.state(), len(sandbox.seen)
    account.buy()
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    with time_machine.travel(datetime.now(timezone.utc) - timedelta(hours=3)):
        assert main(["load", "--destination", "duckdb"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "history only goes forward" in said
    assert "set this machine's clock" in said
    assert len(sandbox.seen) == asked
    assert connector.state() == before
    summary = connector.load()
    assert (summary.resources["phone_numbers"].added, summary.resources["phone_numbers"].changed) == (1, 0)


@pytest.mark.parametrize("hours", [-366 * 24, -2, 2, 366 * 24])
def test_a_clock_that_is_not_the_apis_is_refused_and_nothing_is_loaded(hours: int, sandbox: Sandbox) -> None:
    """A run by a machine whose clock was a year ahead locked out every later one for a year."""
    connector = Connector(sandbox)
    sandbox.clock_ahead = hours * 3600
    with pytest.raises(ConfigurationError, match="clock says .* UTC, the API's says .* UTC: nothing was loaded"):
        connector.load()
    assert connector.rows("load_runs") == []
    sandbox.clock_ahead = 0
    connector.load()


def test_a_clock_that_is_off_by_half_an_hour_is_taken(sandbox: Sandbox) -> None:
    sandbox.clock_ahead = 1800
    assert Connector(sandbox).load().resources["phone_numbers"].added == 57


TAKE_BACK = re.compile(r"<!-- take a run back -->\n```sql\n(.*?)```", re.DOTALL)


def test_the_documented_sql_takes_back_a_run_that_was_dated_too_late(account: Account, connector: Connector) -> None:
    connector.load(observed_at=at("2026-03-15T00:00:00"))
    released, bought = next(iter(account.numbers)), account.buy()["id"]
    account.release(released)
    connector.load(observed_at=at("2026-11-01T00:00:00"))
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        connector.load(observed_at=at("2026-03-16T00:00:00"))
    documented = (Path(__file__).parents[1] / "docs/schedulers.md").read_text()
    (statements,) = TAKE_BACK.findall(documented)
    for statement in statements.replace("2026-11-26", "2026-03-16").replace("talkover.", "").split(";"):
        if statement.strip():
            connector.execute(re.sub(r"from (\w+)", r"from {\1}", statement))
    connector.load(observed_at=at("2026-03-16T00:00:00"))
    log = {(row["id"], row["change_type"], row["changed_at"]) for row in connector.rows("phone_number_changes")}
    assert (released, "removed", at("2026-03-16T00:00:00")) in log
    assert (bought, "added", at("2026-03-16T00:00:00")) in log
    assert max(instant for _, _, instant in log) == at("2026-03-16T00:00:00")
    assert set(connector.by_id()) == set(account.numbers)
