"""Runs that are killed, meet each other, find the unexpected, and what they leave behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pytest
from dlt.common import logger
from dlt.common.runtime.collector_base import Collector
from dlt.pipeline.exceptions import PipelineStepFailed

from talkover import LoadError, RunInProgress, talkover_source
from talkover.load.failures import translate_errors
from talkover.load.lock import file_lock
from talkover.sandbox import Account, Sandbox

from .conftest import TABLES, TODAY, Connector, Histories, Row, at
from .warehouses import in_postgres

DRIVER = """
import sys
from datetime import datetime, timezone
from talkover.load.load import load_account
from talkover.load.progress import TerminalLine

class Steps(TerminalLine):
    def update(self, name, inc=1, total=None, *_, **__): pass
    def _show(self, text): pass
    def _start(self, step): print(step, flush=True)

if __name__ == "__main__":
    token, base_url, destination, dataset = sys.argv[1:]
    day = datetime(2026, 3, 15, tzinfo=timezone.utc)
    where = {"destination": destination, "dataset": dataset}
    load_account(**where, api_token=token, base_url=base_url, progress=Steps(), observed_at=day)
"""


@contextmanager
def another_run(connector: Connector, until: str) -> Iterator[subprocess.Popen[str]]:
    """A load in a process of its own that has come to step `until`."""
    Path("driver.py").write_text(DRIVER)
    sandbox = connector.sandbox
    account = (sandbox.token, sandbox.base_url)
    command = [sys.executable, "driver.py", *account, connector.destination, connector.dataset]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        wait_for_line(running, until)
        yield running
        running.communicate()


def wait_for_line(running: subprocess.Popen[str], beginning: str) -> None:
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"no line began with {beginning!r}")


def change_much(account: Account) -> None:
    """Every kind of change at once, in every table."""
    ids = list(account.numbers)
    account.release(ids[0])
    account.numbers[ids[1]] |= {"type": "fax", "agents": [{"id": "new", "name": "New"}]}
    account.numbers[ids[2]]["agents"] = []
    account.numbers[ids[3]]["days_until_monthly_renewal"] = 1
    account.buy()
    request = next(request for request in account.requests.values() if request["status"] == "pending")
    request |= {"status": "approved", "resolved_at": "2026-03-15T10:00:00Z"}


@contextmanager
def folder(name: str) -> Iterator[None]:
    """Another workspace inside this one."""
    before, data = Path.cwd(), os.environ["DLT_DATA_DIR"]
    Path(name).mkdir()
    os.chdir(name)
    os.environ["DLT_DATA_DIR"] = str(Path.cwd() / "dlt")
    dlt.current.run_context().reload()
    try:
        yield
    finally:
        os.chdir(before)
        os.environ["DLT_DATA_DIR"] = data
        dlt.current.run_context().reload()


def play(destination: str, is_first_run: bool, disturb: Callable[[Connector], None]) -> dict[str, list[Row]]:
    """The tables after a load, or after a load, changes and a second one; `disturb` comes before the last."""
    account = Account(seed=3, size=57, founded=TODAY)
    with Sandbox(account) as sandbox:
        connector = Connector(sandbox, destination, dataset=Path.cwd().name)
        if not is_first_run:
            connector.load(observed_at=at("2026-03-14T00:00:00"))
            change_much(account)
        disturb(connector)
        connector.load(observed_at=at("2026-03-15T00:00:00"))
        runs = [row["run_id"] for row in connector.rows("load_runs")]
        assert len(set(runs)) == len(runs)
        return connector.state()


@cache
def undisturbed(destination: str, is_first_run: bool) -> dict[str, list[Row]]:
    """The tables where nothing happens, played once a process."""
    with folder("reference"):
        return play(destination, is_first_run, lambda _: None)


@pytest.mark.product
@pytest.mark.slow
@pytest.mark.parametrize("is_first_run", [True, False])
@pytest.mark.parametrize("step", ["Extract", "Normalize", pytest.param("Load", marks=pytest.mark.essential)])
def test_a_run_killed_at_any_moment_is_made_good_by_the_next(
    step: str, is_first_run: bool, warehouse: str, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("--kills")
    chance = random.Random(f"{step} {is_first_run}")
    killed = []

    def kill(connector: Connector) -> None:
        with another_run(connector, step) as running:
            time.sleep(chance.uniform(0, 0.4))
            running.send_signal(signal.SIGKILL)
        killed.append(running.returncode == -signal.SIGKILL)

    expected = undisturbed(warehouse, is_first_run)
    while sum(killed) < kills and len(killed) < 3 * kills:
        with folder(f"killed_{len(killed)}"):
            assert play(warehouse, is_first_run, kill) == expected
    assert sum(killed) == kills, "the kills came after the end"


def test_a_package_left_pending_is_finished_first_and_said_so(account: Account, loaded: Connector) -> None:
    bought = account.buy()["id"]
    loaded.pipeline().extract(talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url))
    account.release(bought)
    summary = loaded.load()
    assert summary.notes == ["finished what an earlier run left pending"]
    versions = [row["change_type"] for row in loaded.rows("phone_number_changes") if row["id"] == bought]
    assert versions == ["added", "removed"]


@pytest.mark.essential
def test_jobs_that_a_killed_load_did_not_note_as_done_are_run_again(account: Account, loaded: Connector) -> None:
    change_much(account)
    pipeline = loaded.pipeline()
    pipeline.extract(talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url))
    pipeline.normalize()
    shutil.copytree("dlt", "before")
    pipeline.load()
    expected = loaded.state()
    shutil.rmtree("dlt")
    Path("before").rename("dlt")
    jobs = list(Path("dlt").glob("pipelines/*/load/normalized/*/new_jobs/*"))
    for job in jobs:
        job.rename(job.parent.parent / "started_jobs" / job.name)
    assert {job.name.partition(".")[0] for job in jobs} >= {*TABLES}
    assert loaded.load().notes == ["finished what an earlier run left pending"]
    assert loaded.state() == expected


def test_a_package_that_cannot_be_loaded_is_dropped_and_said_so(account: Account, loaded: Connector) -> None:
    broken = dlt.resource([{"id": None}], name="broken", primary_key="id")
    with pytest.raises(PipelineStepFailed):
        loaded.pipeline().run(broken)
    account.buy()
    summary = loaded.load()
    assert summary.notes == ["dropped what an earlier run left pending: it could not be loaded"]
    assert len(loaded.rows("phone_numbers")) == 58


def test_steps_by_hand_after_a_lost_working_directory_cost_nothing(account: Account, loaded: Connector) -> None:
    shutil.rmtree("dlt", ignore_errors=True)
    gone = next(iter(account.numbers))
    account.release(gone)
    pipeline = loaded.pipeline()
    pipeline.extract(talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url))
    pipeline.normalize()
    pipeline.load()
    added, removed = (row for row in loaded.rows("phone_number_changes") if row["id"] == gone)
    assert (added["change_type"], removed["change_type"]) == ("added", "removed")
    assert removed["number"] == added["number"]


@pytest.mark.essential
def test_a_lost_working_directory_costs_nothing(account: Account, loaded: Connector) -> None:
    before, loads = loaded.state(), loaded.load_ids()
    shutil.rmtree("dlt")
    account.release(next(iter(account.numbers)))
    summary = loaded.load()
    assert summary.resources["phone_numbers"].removed == 1
    assert summary.resources["phone_numbers"].unchanged == 56
    assert loaded.load_ids()["release_requests"] == loads["release_requests"]
    assert len(loaded.rows("phone_number_changes")) == len(before["phone_number_changes"]) + 1


@pytest.mark.slow
@pytest.mark.duckdb
def test_each_folder_has_its_own_file_and_none_gets_what_another_left_pending(
    account: Account, loaded: Connector, workspace: Path
) -> None:
    elsewhere = Account(seed=8, size=30, founded=TODAY)
    bought = account.buy()["id"]
    loaded.pipeline().extract(talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url))
    (workspace / "another").mkdir()
    os.chdir(workspace / "another")
    with Sandbox(elsewhere) as another:
        summary = Connector(another).load(create_views=False)
        assert summary.destination == f"{workspace}/another/talkover_pipeline.duckdb"
        assert summary.notes == []
        assert set(Connector(another).by_id()) == set(elsewhere.numbers)
    os.chdir(workspace)
    loaded.load(create_views=False)
    assert set(loaded.by_id()) == set(account.numbers)
    assert bought in account.numbers


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_table_dropped_by_hand_is_made_again(table: str, connector: Connector, histories: Histories) -> None:
    def load() -> None:
        connector.load(observed_at=at("2026-03-15T00:00:00"), create_views=False)

    histories.once("a load on March 15", connector, load)
    before = connector.state()
    connector.execute(f"drop table {{{table}}}")
    load()
    assert connector.state() == before


def test_a_run_that_another_one_keeps_waiting_says_who_it_is_and_asks_nothing(sandbox: Sandbox) -> None:
    who = rf"pipeline 'talkover_pipeline' is being loaded by process {os.getpid()} on .* since \d{{4}}-"
    with (
        file_lock("talkover_pipeline", "the run that came first", 0),
        pytest.raises(RunInProgress, match=who),
    ):
        Connector(sandbox).load(wait_seconds=0.1)
    assert sandbox.seen == []


@pytest.mark.slow
def test_of_two_runs_at_once_one_works_and_the_other_waits_for_it(sandbox: Sandbox) -> None:
    connector = Connector(sandbox)
    sandbox.latency = 1
    with another_run(connector, "Extract") as running:
        with pytest.raises(RunInProgress, match=f"is being loaded by process {running.pid} on"):
            connector.load(wait_seconds=0.1)
        sandbox.latency = 0
        connector.load()
    assert running.returncode == 0
    assert len(connector.rows("load_runs")) == 2
    assert len(connector.rows("phone_numbers")) == 57


ENVIRONMENTS = ("live", "test")
PRICES = (1, 2, 3)
TENANT = """
import sys
from talkover import load_account

if __name__ == "__main__":
    name, token, base_url, destination, dataset = sys.argv[1:]
    where = {"pipeline_name": f"talkover_{name}", "destination": destination, "dataset": dataset}
    if destination == "duckdb":
        import dlt
        where["destination"] = dlt.destinations.duckdb("tenants.duckdb")
    load_account(**where, environment_key=name, api_token=token, base_url=base_url)
"""


@pytest.mark.slow
def test_pipelines_that_load_an_environment_each_into_one_dataset_at_once_keep_apart(warehouse: str) -> None:
    """As an orchestrator with a task a tenant does: dlt's staging tables belong to the dataset."""
    accounts = {f"talq_{name}": Account(seed, 400, TODAY) for seed, name in enumerate(ENVIRONMENTS)}
    Path("tenant.py").write_text(TENANT)
    destination = dlt.destinations.duckdb("tenants.duckdb") if warehouse == "duckdb" else warehouse
    with Sandbox(accounts) as sandbox:
        for price in PRICES:
            for account in accounts.values():
                for number in account.numbers.values():
                    number["monthly_renewal_cost"] = price
            arguments = [(name, f"talq_{name}", sandbox.base_url, warehouse, "talkover") for name in ENVIRONMENTS]
            running = [subprocess.Popen([sys.executable, "tenant.py", *given]) for given in arguments]
            assert [process.wait(120) for process in running] == [0, 0]
            connector = Connector(sandbox, destination)
            held = Counter(
                (row["environment_key"], row["monthly_renewal_cost"]) for row in connector.rows("phone_numbers")
            )
            assert held == {(name, price): 400 for name in ENVIRONMENTS}
    logged = Counter(row["environment_key"] for row in connector.rows("phone_number_changes"))
    assert logged == dict.fromkeys(ENVIRONMENTS, 400 * len(PRICES))
    ledger = [(row["phone_numbers_added"], row["phone_numbers_changed"]) for row in connector.rows("load_runs")]
    assert sorted(ledger) == [(0, 400)] * 2 * (len(PRICES) - 1) + [(400, 0)] * 2


@pytest.mark.postgres
def test_a_load_from_another_host_is_waited_for_on_postgres(
    sandbox: Sandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is shared then: the other process has a folder of its own for dlt's data."""
    connector = Connector(sandbox, in_postgres(request, monkeypatch))
    connector.load(observed_at=at("2026-03-14T00:00:00"))
    sandbox.latency = 1
    with another_run(connector, "Extract") as running:
        monkeypatch.setenv("DLT_DATA_DIR", str(Path.cwd() / "another host"))
        dlt.current.run_context().reload()
        sandbox.seen.clear()
        with pytest.raises(RunInProgress, match="dataset 'talkover' of postgres is being loaded by .*, since 20"):
            connector.load(wait_seconds=0.1)
        assert len(sandbox.seen) <= 1, "only the other one asks"
        sandbox.latency = 0
        connector.load()
    assert running.returncode == 0
    assert len(connector.rows("load_runs")) == 3


@pytest.mark.duckdb
@pytest.mark.parametrize("is_reader", [False, True])
def test_a_database_file_that_another_program_holds_is_named(is_reader: bool, loaded: Connector) -> None:
    """It need not write: a notebook that is left open is enough."""
    before = loaded.state()
    hold = (
        f"import duckdb, time; c = duckdb.connect('talkover_pipeline.duckdb', read_only={is_reader}); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as holder:
        wait_for_line(holder, "held")
        with pytest.raises(LoadError, match=f"pipeline.duckdb is open in another process, .*PID {holder.pid}"):
            loaded.load()
        holder.kill()
    loaded.load(create_views=False)
    assert loaded.state() == before


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_is_lost(sandbox: Sandbox, account: Account) -> None:
    connector = Connector(sandbox)
    connector.load()
    before = connector.state()
    change_much(account)
    environment = os.environ | {"TALKOVER_TOKEN": sandbox.token, "SOURCES__TALKOVER__BASE_URL": sandbox.base_url}
    for kibibytes in (2, 24):  # less than the database has would tear its blocks, which no full disk does
        command = f"ulimit -f {kibibytes} && exec {sys.executable} -m talkover load --destination duckdb"
        bounded = ["bash", "-c", command]
        done = subprocess.run(bounded, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert "File too large" in done.stderr
        assert connector.state() == before
    connector.load()
    assert set(connector.by_id()) == set(account.numbers)


@pytest.mark.duckdb
def test_a_schema_that_a_full_disk_has_torn_ends_no_later_run(loaded: Connector, account: Account) -> None:
    """dlt takes each file in that folder for a schema. Every later run failed, also on a disk with room."""
    loaded.load()
    torn = Path(loaded.pipeline().working_dir, "schemas/1e6436cacb13bcb8")
    torn.write_text("{")
    account.buy()
    assert loaded.load().resources["phone_numbers"].added == 1
    assert not torn.exists()


class Disturbing(Collector):
    """Does something when a step of the run begins."""

    def __init__(self, step: str, disturb: Callable[[], None]) -> None:
        super().__init__()
        self._disturb = {step: disturb}

    def _start(self, step: str) -> None:
        self._disturb.pop(step.split(maxsplit=1)[0], lambda: None)()

    def update(self, name: str, *_: object, **__: object) -> None:
        """Nothing is shown."""

    def _stop(self) -> None:
        """Nothing is shown."""


class DisturbingTheEnd(Disturbing):
    """Does something when a step of the run ends."""

    def _start(self, _: str) -> None:
        """Nothing is done yet."""

    def _stop(self) -> None:
        super()._start(self.step)


class Interrupted(Collector):
    """Ctrl-C when all tables are merged, and dlt has not noted yet that the load is done."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs_left = 0

    def update(
        self, name: str, inc: int = 1, total: int | None = None, inc_total: int | None = None, *_: object
    ) -> None:
        if name == "Jobs":
            self._jobs_left += (total or 0) + (inc_total or 0) - inc
            if self._jobs_left == 0:
                raise KeyboardInterrupt

    def _start(self, _: str) -> None:
        """Nothing is shown."""

    def _stop(self) -> None:
        """Nothing is shown."""


@pytest.mark.essential
def test_data_health_shows_a_load_that_did_not_come_to_its_end(account: Account, loaded: Connector) -> None:
    def is_unfinished() -> set[bool]:
        return {bool(row["load_is_unfinished"]) for row in loaded.rows("data_health")}

    assert is_unfinished() == {False}
    change_much(account)
    with pytest.raises(KeyboardInterrupt):
        loaded.load(progress=Interrupted())
    assert is_unfinished() == {True}
    loaded.load()
    assert is_unfinished() == {False}


@pytest.mark.parametrize("step", ["Extract", "Normalize", "Load"])
@pytest.mark.postgres
def test_a_database_that_goes_away_in_the_middle_costs_nothing(
    step: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, postgres_server: str
) -> None:
    in_postgres(request, monkeypatch)
    database = os.environ["DESTINATION__POSTGRES__CREDENTIALS"].rpartition("/")[2]

    def allow_connections(is_allowed: bool) -> None:
        with closing(psycopg2.connect(postgres_server)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(f"alter database {database} allow_connections {is_allowed}")
            if not is_allowed:
                cursor.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")

    def disturb(connector: Connector) -> None:
        before = connector.state()
        with pytest.raises(LoadError):
            connector.load(
                progress=Disturbing(step, lambda: allow_connections(False)), observed_at=at("2026-03-15T00:00:00")
            )
        allow_connections(True)
        assert connector.state() == before

    expected = undisturbed("duckdb", False)
    assert play("postgres", False, disturb) == expected


def test_a_folder_that_cannot_be_written_to_is_named(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("plain file").touch()
    monkeypatch.setenv("DLT_DATA_DIR", str(Path.cwd() / "plain file"))
    with pytest.raises(LoadError, match="Not a directory: .*plain file"):
        connector.load()
    assert connector.sandbox.seen == []


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """What `folder` holds cannot be written to: by somebody else, or, where the tests do not run as root, at all."""
    if is_root := os.geteuid() == 0:
        os.seteuid(65534)
    else:
        folder.chmod(0o500)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        else:
            folder.chmod(0o700)


def test_dlts_folder_of_another_user_is_named_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users without a home folder share one."""
    with tempfile.TemporaryDirectory() as shared:
        monkeypatch.setenv("DLT_DATA_DIR", shared)
        pipelines = Path(shared) / "pipelines"
        pipelines.mkdir()
        Path(shared).chmod(0o755)  # another user may look into it
        with (
            another_user(pipelines),
            pytest.raises(LoadError, match=rf"Permission denied: .*\.lock\. dlt's files in {pipelines} .*DLT_DATA_DIR"),
            translate_errors(),
            file_lock("talkover_pipeline", "pipeline 'talkover_pipeline'", 0),
        ):
            pass


@pytest.mark.slow
def test_a_process_is_left_as_it_was_when_the_last_of_its_loads_ends(workspace: Path) -> None:
    """An orchestrator's process also runs pipelines of others: dlt's settings are theirs too."""

    def settings() -> tuple[Any, ...]:
        providers = [provider.name for provider in dlt.config.config_providers]
        return log_level(), providers, [*logger.LOGGER.filters]

    def log_level() -> str:
        return dlt.current.run_context().runtime_config.log_level

    def load(name: str) -> None:
        file = dlt.destinations.duckdb(f"{name}.duckdb")
        Connector(sandbox).load(pipeline_name=name, destination=file, create_views=False)

    before = settings()
    with Sandbox(Account(size=40, founded=TODAY), latency=0.3) as sandbox:
        short, long = (threading.Thread(target=load, args=[name]) for name in ("short", "long"))
        short.start()
        while short.is_alive() and log_level() == before[0]:
            time.sleep(0.01)
        assert short.is_alive(), "it changes them as long as it runs"
        assert log_level() == "CRITICAL"
        long.start()
        short.join()
        long.join()
    assert settings() == before


@pytest.mark.essential
def test_the_summary_is_what_the_tables_hold(account: Account, loaded: Connector) -> None:
    account.release(next(iter(account.numbers)))
    next(iter(account.numbers.values()))["type"] = "fax"
    account.buy()
    account.buy()
    summary = loaded.load()
    numbers = summary.resources["phone_numbers"]
    assert (numbers.listed, numbers.added, numbers.changed, numbers.removed, numbers.unchanged) == (58, 2, 1, 1, 55)
    by_currency = Counter[str | None]()
    for row in loaded.rows("phone_numbers"):
        by_currency[row["currency"]] += row["monthly_renewal_cost"] or 0
    assert {rate.currency: rate.monthly_cost or 0 for rate in summary.run_rate} == by_currency
    assert sum(rate.numbers for rate in summary.run_rate) == 58
    ledger = loaded.rows("load_runs")[-1]
    assert ledger["phone_numbers_listed"] == ledger["phone_numbers_total"] == 58
    assert ledger["requests_made"] == summary.requests
