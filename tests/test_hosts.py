"""Two hosts that load one dataset at once: real processes, each with a folder of its own for dlt's data."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from dlt.common.runtime.collector_base import Collector

from talkover import CallsError, LoadError, RunInProgress, read_view
from talkover.sandbox import Account, Sandbox
from talkover.sandbox.faults import Answer
from talkover.sandbox.server import Request

from .conftest import TODAY, Connector, at
from .test_calls import assert_same, load
from .test_load import change_much, wait_for_line

QUICK, SLOW = "talq_quick", "talq_slow"
"""Two tokens of one account."""
LOCKED = {
    "duckdb": "talkover_pipeline.duckdb is open in another process",
    "postgres": "dataset 'talkover' of postgres is being loaded by postgres from 127.0.0.1",
    "sqlalchemy": "dataset 'talkover' of sqlalchemy is being loaded by root from",
}
"""What keeps the second host out, where anything does, says so."""
CHANGED = 5
"""Numbers that `change_much` touches, at most so many of which a reader sees or misses while they are written."""
PATIENCE = 600
"""Seconds, of which a busy machine with an emulator on it takes many for a load."""
COMMAND = [sys.executable, "-m", "talkover", "load", "--dataset", "talkover", "--wait", "0", "--destination"]
PLAIN = """
import sys
from talkover import talkover_source
from talkover.load.failures import translate_errors
from talkover.load.pipeline import open_pipeline

try:
    with translate_errors():
        open_pipeline(sys.argv[1], "talkover").run(talkover_source())
except Exception as error:
    sys.exit(str(error))
"""
OPEN = """
import sys
import duckdb

with duckdb.connect(sys.argv[1]):
    print("open", flush=True)
    input()
"""
WAITING = """
import sys
from talkover import TalkoverError, load_account
from talkover.load.progress import TerminalLine

class Waiting(TerminalLine):
    def update(self, name, inc=1, total=None, *_, **__): pass
    def _show(self, text): pass
    def _start(self, step):
        if step.startswith("Load"):
            print(step, flush=True)
            input()

try:
    load_account(destination=sys.argv[1], dataset="talkover", progress=Waiting())
except TalkoverError as error:
    sys.exit(str(error))
"""


class Holding(Sandbox):
    """Leaves those who ask with the token SLOW waiting until they are `released`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked, self.released = threading.Event(), threading.Event()

    def answer(self, request: Request) -> tuple[Answer, str | None]:
        if request.token == SLOW:
            self.asked.set()
            self.released.wait(PATIENCE)
        return super().answer(request)


@pytest.fixture
def account() -> Account:
    return Account(seed=3, size=57, founded=TODAY)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Holding]:
    with Holding({QUICK: account, SLOW: account}) as running:
        yield running
        running.released.set()


@pytest.fixture
def changed(account: Account, connector: Connector) -> Connector:
    """A load, and then changes that none has seen yet."""
    connector.load(observed_at=at("2026-03-14T00:00:00"))
    change_much(account)
    return connector


class AnotherIsDone(Collector):
    """Notes in dlt's ledger that another load is done, when the given load step of the run begins."""

    def __init__(self, connector: Connector, load_step: int) -> None:
        super().__init__()
        self._connector, self._steps_left = connector, load_step

    def _start(self, step: str) -> None:
        if step.startswith("Load"):
            self._steps_left -= 1
            if self._steps_left == 0:
                self._connector.execute(
                    "insert into {_dlt_loads} (load_id, schema_name, status, inserted_at) "
                    "select 'another', min(schema_name), 0, max(inserted_at) from {_dlt_loads}"
                )

    def update(self, name: str, *_: object, **__: object) -> None:
        """Nothing is shown."""

    def _stop(self) -> None:
        """Nothing is shown."""


@contextmanager
def host(token: str, sandbox: Sandbox, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A host of its own that runs `command`."""
    environment = os.environ | {
        "TALKOVER_TOKEN": token,
        "SOURCES__TALKOVER__BASE_URL": sandbox.base_url,
        "DLT_DATA_DIR": str(Path.cwd() / f"host of {token}"),
        "RUNTIME__REQUEST_TIMEOUT": str(PATIENCE),
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as running:
        yield running


def load_quickly(connector: Connector) -> tuple[int, str]:
    """How a whole load by the other host ends."""
    with host(QUICK, connector.sandbox, [*COMMAND, connector.destination]) as running:
        return end_of(running)


def end_of(running: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a load, and its error."""
    _, error = running.communicate("go on\n", timeout=PATIENCE)
    return running.returncode, error.splitlines()[-1] if running.returncode else ""


def assert_nothing_stands_twice(connector: Connector) -> None:
    for log in ("phone_number_changes", "release_request_changes"):
        versions = Counter((row["id"], row["change_type"], row["row_fingerprint"]) for row in connector.rows(log))
        assert set(versions.values()) == {1}, log


def assert_the_next_run_finds_no_change(connector: Connector) -> None:
    before = connector.state()
    resources = connector.load(create_views=False).resources.values()
    assert [(found.added, found.changed, found.removed) for found in resources if found] == [(0, 0, 0)] * 2
    assert connector.state() == before


def test_a_load_that_was_not_alone_takes_back_what_it_logged(changed: Connector) -> None:
    before = changed.tables("phone_number_changes", "release_request_changes", "load_runs")
    with pytest.raises(RunInProgress, match=r"\(load another, .*at the same time: what this one logged was taken back"):
        changed.load(progress=AnotherIsDone(changed, load_step=1))
    assert changed.tables(*before) == before
    counts = changed.load(create_views=False).resources["phone_numbers"]
    assert counts is not None
    assert (counts.added, counts.changed, counts.removed) == (1, 2, 1)


def test_windows_of_calls_that_were_not_loaded_alone_are_read_again(connector: Connector, account: Account) -> None:
    with pytest.raises(CallsError, match="the last calls is loaded, .* at the same time"):
        load(connector, progress=AnotherIsDone(connector, load_step=3))
    assert len(connector.rows("call_windows")) == 1
    load(connector)
    assert len(connector.rows("call_windows")) == 3
    assert_same(connector, account)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.essential
def test_of_two_hosts_that_list_at_once_one_loads_and_the_other_says_so(changed: Connector, sandbox: Holding) -> None:
    with host(SLOW, sandbox, [*COMMAND, changed.destination]) as slow:
        assert sandbox.asked.wait(PATIENCE)
        quick = load_quickly(changed)
        sandbox.released.set()
        last = end_of(slow)
    if sentence := LOCKED.get(changed.destination):
        assert (last, quick[0]) == ((0, ""), 1)
        assert sentence in quick[1]
    else:
        assert (quick, last[0]) == ((0, ""), 1)
        assert "finished in dataset 'talkover' while this one was listing: nothing was loaded. Run it again" in last[1]
    assert len(changed.rows("load_runs")) == 2
    assert_nothing_stands_twice(changed)
    assert_the_next_run_finds_no_change(changed)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.essential
def test_of_two_hosts_that_load_in_the_same_seconds_the_last_takes_back_what_it_logged(changed: Connector) -> None:
    Path("waiting.py").write_text(WAITING)
    with host(SLOW, changed.sandbox, [sys.executable, "waiting.py", changed.destination]) as slow:
        changed.sandbox.released.set()
        wait_for_line(slow, "Load")
        quick = load_quickly(changed)
        last = end_of(slow)
    if sentence := LOCKED.get(changed.destination):
        assert (last, quick[0]) == ((0, ""), 1)
        assert sentence in quick[1]
    else:
        assert (quick, last[0]) == ((0, ""), 1)
        assert "at the same time: what this one logged was taken back. Run it again" in last[1]
    assert_nothing_stands_twice(changed)
    assert_the_next_run_finds_no_change(changed)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.core
def test_what_is_loaded_can_be_read_while_another_process_loads(changed: Connector) -> None:
    """Of DuckDB's file one process has all, and of a catalog that is such a file."""
    Path("waiting.py").write_text(WAITING)
    read = partial(read_view, "current_numbers", destination=changed.destination)
    numbers = len(read())
    if (catalog := Path("catalog.duckdb")).exists():
        with host(SLOW, changed.sandbox, [sys.executable, "-c", OPEN, str(catalog)]) as opening:
            wait_for_line(opening, "open")
            with pytest.raises(LoadError, match=r"catalog\.duckdb is open in another process"):
                read()
            assert end_of(opening) == (0, "")
        return
    with host(SLOW, changed.sandbox, [sys.executable, "waiting.py", changed.destination]) as loading:
        changed.sandbox.released.set()
        wait_for_line(loading, "Load")
        if changed.destination == "duckdb":
            with pytest.raises(LoadError, match="is open in another process"):
                read()
        assert loading.stdin is not None
        print("go on", file=loading.stdin, flush=True)
        while loading.poll() is None and changed.destination != "duckdb":
            assert abs(len(read()) - numbers) <= CHANGED
        assert loading.wait(PATIENCE) == 0
    assert len(read()) == numbers
    assert_nothing_stands_twice(changed)


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
def test_a_plain_pipeline_takes_no_lock_and_still_loads_nothing_that_another_has(
    changed: Connector, sandbox: Holding
) -> None:
    Path("plain.py").write_text(PLAIN)
    with host(SLOW, sandbox, [sys.executable, "plain.py", changed.destination]) as slow:
        assert sandbox.asked.wait(PATIENCE)
        quick = load_quickly(changed)
        sandbox.released.set()
        last = end_of(slow)
    assert (quick, last[0]) == ((0, ""), 1)
    assert "while this one was listing: nothing was loaded. Run it again" in last[1]
    assert_nothing_stands_twice(changed)
    assert_the_next_run_finds_no_change(changed)
