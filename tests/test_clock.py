"""A machine's clock that is wrong: time is set back in the process of the run itself, or the API tells another one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from talkover import ConfigurationError
from talkover.sandbox import Account, Sandbox

from .conftest import Connector, at

HOURS_AGO = """
import datetime, sys
from talkover import cli, run

class Late(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) - datetime.timedelta(hours=3)

run.datetime = Late
sys.exit(cli.main(["load", "--destination", "duckdb"]))
"""
"""No process may have a clock of its own without a library that this project does without: the run's one seam is."""


def test_a_clock_that_jumps_back_is_said_and_loses_nothing(sandbox: Sandbox, account: Account) -> None:
    connector = Connector(sandbox)
    connector.load()
    before, asked = connector.state(), len(sandbox.seen)
    account.buy()
    environment = os.environ | {"TALKOVER_TOKEN": sandbox.token, "SOURCES__TALKOVER__BASE_URL": sandbox.base_url}
    done = subprocess.run(
        [sys.executable, "-c", HOURS_AGO], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "history only goes forward" in done.stderr
    assert "set this machine's clock" in done.stderr
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
