"""A machine's clock that jumps back between two runs: time is set back in the process of the run itself."""

from __future__ import annotations

import os
import subprocess
import sys

from talkover.sandbox import Account, Sandbox

from .conftest import Connector

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
