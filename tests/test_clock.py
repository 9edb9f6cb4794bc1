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

from .conftest import Connector, Histories, at
from .listings import extract


@pytest.mark.duckdb
def test_a_clock_that_jumps_back_is_said_and_loses_nothing(
    loaded: Connector, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = loaded.state()
    account.buy()
    monkeypatch.setenv("TALKOVER_TOKEN", loaded.sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", loaded.sandbox.base_url)
    with time_machine.travel(datetime.now(timezone.utc) - timedelta(hours=3)):
        assert main(["load", "--destination", "duckdb"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "history only goes forward" in said
    assert "set this machine's clock" in said
    assert loaded.sandbox.seen == []
    assert loaded.state() == before
    summary = loaded.load(create_views=False)
    assert (summary.resources["phone_numbers"].added, summary.resources["phone_numbers"].changed) == (1, 0)


@pytest.mark.parametrize("hours", [-366 * 24, -2, 2, 366 * 24])
def test_a_clock_that_is_not_the_apis_is_refused(hours: int, sandbox: Sandbox) -> None:
    """A run by a machine whose clock was a year ahead locked out every later one for a year."""
    sandbox.clock_ahead = hours * 3600
    with pytest.raises(ConfigurationError, match="clock says .* UTC, the API's says .* UTC: nothing was loaded"):
        extract(sandbox)


def test_a_run_by_a_wrong_clock_loads_nothing_and_keeps_no_later_one_from_it(sandbox: Sandbox) -> None:
    connector = Connector(sandbox)
    sandbox.clock_ahead = -366 * 24 * 3600
    with pytest.raises(ConfigurationError, match="nothing was loaded"):
        connector.load()
    assert connector.rows("load_runs") == []
    sandbox.clock_ahead = 0
    connector.load(create_views=False)


def test_a_clock_that_is_off_by_half_an_hour_is_taken(sandbox: Sandbox) -> None:
    sandbox.clock_ahead = 1800
    assert len(extract(sandbox, "phone_numbers")) == 57


TAKE_BACK = re.compile(r"<!-- take a run back -->\n```sql\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_the_documented_sql_takes_back_a_run_that_was_dated_too_late(
    account: Account, connector: Connector, histories: Histories
) -> None:
    def load(day: str) -> None:
        connector.load(observed_at=at(f"{day}T00:00:00"), create_views=False)

    histories.once("a load on March 15", connector, lambda: load("2026-03-15"))
    released, bought = next(iter(account.numbers)), account.buy()["id"]
    account.release(released)
    load("2026-11-01")
    with pytest.raises(ConfigurationError, match="history only goes forward"):
        load("2026-03-16")
    documented = (Path(__file__).parents[1] / "docs/schedulers.md").read_text()
    (statements,) = TAKE_BACK.findall(documented)
    for statement in statements.replace("2026-11-26", "2026-03-16").replace("talkover.", "").split(";"):
        if statement.strip():
            connector.execute(re.sub(r"from (\w+)", r"from {\1}", statement))
    load("2026-03-16")
    log = {(row["id"], row["change_type"], row["changed_at"]) for row in connector.rows("phone_number_changes")}
    assert (released, "removed", at("2026-03-16T00:00:00")) in log
    assert (bought, "added", at("2026-03-16T00:00:00")) in log
    assert max(instant for _, _, instant in log) == at("2026-03-16T00:00:00")
    assert set(connector.by_id()) == set(account.numbers)
