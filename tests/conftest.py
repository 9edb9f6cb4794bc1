"""A folder of its own for every test, a sandbox API, and a connector that loads the one into the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from talkover import Summary, load_account
from talkover.load.pipeline import open_pipeline
from talkover.sandbox import Account, Sandbox

from .warehouses import (
    WAREHOUSES,
    bigquery_emulator,
    bucket_server,
    clickhouse_engine,
    galera_nodes,
    mariadb_server,
    postgres_server,
    snowflake_emulator,
    spark,
)

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"  # here, since fixtures of a module or session come before `workspace`

CHROMIUM = shutil.which("chromium")
MINUTES_OF_A_PRODUCT = 30

collect_ignore = ["schedulers"]
"""They need what this environment lacks: test_schedulers.py runs them, each in its own."""

Row = dict[str, Any]

TODAY = date(2026, 3, 15)
TABLES = (
    "phone_numbers",
    "phone_number_agents",
    "phone_number_changes",
    "release_requests",
    "release_request_changes",
)
SETTINGS = (
    *("TALKOVER_", "SOURCES__", "DESTINATION_", "DATASET_NAME", "PIPELINE", "REFRESH", "CREDENTIALS", "DLT_"),
    *("EXTRACT__", "NORMALIZE__", "LOAD__", "DATA_WRITER__", "RUNTIME__"),
)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder with dlt's files inside, none of the caller's settings, and no long waits."""
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.01")
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "5")
    monkeypatch.chdir(tmp_path)
    dlt.current.run_context().reload()
    yield tmp_path
    dlt.current.run_context().reload()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--destinations",
        default="duckdb,postgres",
        help=f"where the tests that load run, of {', '.join(WAREHOUSES)} (default: %(default)s)",
    )
    parser.addoption(
        "--elsewhere",
        choices=("essential", "all"),
        default="all",
        help="which tests run on each destination after the first (default: %(default)s)",
    )
    parser.addoption("--citus", metavar="URL", help="a database of a Citus cluster that may be emptied: docs/citus.md")
    parser.addoption("--kills", type=int, default=1, help="how often test_load.py kills a run a step and destination")
    parser.addoption("--lives", type=int, default=2, help="how many random lives test_stateful.py plays")
    parser.addoption("--histories", type=int, default=3, help="how many random histories test_bridge.py plays")
    parser.addoption("--fault-cells", type=int, default=15, help="how many cells of the fault matrix are played")
    parser.addoption("--fuzz-inputs", type=int, default=300, help="how many hostile answers test_fuzz.py makes")


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a warehouse runs on each destination, unless it is marked as one for DuckDB."""
    if "warehouse" in metafunc.fixturenames:
        names = metafunc.config.getoption("--destinations").split(",")
        unknown = set(names) - WAREHOUSES.keys()
        if unknown:
            raise pytest.UsageError(f"unknown destinations {', '.join(unknown)}: of {', '.join(WAREHOUSES)}")
        is_essential = metafunc.definition.get_closest_marker("essential")
        if metafunc.config.getoption("--elsewhere") == "essential" and not is_essential:
            names = names[:1]
        if metafunc.definition.get_closest_marker("duckdb"):
            names = ["duckdb"]
        metafunc.parametrize("warehouse", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A machine without chromium runs everything else, and so does a run without PostgreSQL, MariaDB or a cluster."""
    left_out = {"browser"} if CHROMIUM is None else set()
    left_out |= {"postgres", "mariadb"} - set(config.getoption("--destinations").split(","))
    if config.getoption("--citus") is None:
        left_out.add("citus")
    deselected = [item for item in items if any(item.get_closest_marker(mark) for mark in left_out)]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if item not in deselected]
    for item in items:
        takes_long = any(item.get_closest_marker(mark) for mark in ("product", "large", "environment"))
        if takes_long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(MINUTES_OF_A_PRODUCT * 60))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says what was left out, and writes the matrix of faults, which several processes may have played."""
    if CHROMIUM is None:
        terminalreporter.write_line("No chromium here: the tests that look at the report in a browser are deselected.")
    passed = [dict(report.user_properties) for report in terminalreporter.getreports("passed")]
    endings = [tuple(properties["ending"]) for properties in passed if "ending" in properties]
    if endings and "UPDATE_DOCS" in os.environ:
        from .test_faults import write_matrix

        write_matrix(endings)


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name that dlt knows a destination by, which is empty and answers."""
    return WAREHOUSES[request.param](request, monkeypatch)


@pytest.fixture
def account() -> Account:
    """57 numbers: three pages of the API's default size."""
    return Account(seed=7, size=57, founded=TODAY)


@pytest.fixture
def sandbox(account: Account) -> Iterator[Sandbox]:
    with Sandbox(account) as running:
        yield running


class Connector:
    """Loads a sandbox into a destination and reads the tables."""

    def __init__(self, sandbox: Sandbox, destination: str = "duckdb", dataset: str = "talkover") -> None:
        self.sandbox = sandbox
        self.destination = destination
        self.dataset = dataset

    def load(self, **arguments: Any) -> Summary:
        account = {"api_token": self.sandbox.token, "base_url": self.sandbox.base_url}
        return load_account(**{"destination": self.destination, "dataset": self.dataset} | account | arguments)

    def pipeline(self) -> dlt.Pipeline:
        return open_pipeline(self.destination, self.dataset)

    def execute(self, statement: str) -> None:
        """`statement`, with the names of tables and views in braces."""
        with self.pipeline().sql_client() as client:
            client.execute_sql(re.sub(r"{(\w+)}", lambda name: client.make_qualified_table_name(name[1]), statement))

    def update(self, table: str, assignments: str) -> None:
        """Changes every row of `table`."""
        if self.destination == "clickhouse":
            self.execute(f"alter table {{{table}}} update {assignments} where 1 = 1 settings mutations_sync = 1")
        else:
            self.execute(f"update {{{table}}} set {assignments} where 1 = 1")

    def rows(self, table: str) -> list[Row]:
        """Whole rows without dlt's own columns, in a fixed order; none where there is no table."""
        return self.tables(table)[table]

    def tables(self, *names: str) -> dict[str, list[Row]]:
        """The same for several tables and views, over one connection."""
        with self.pipeline().sql_client() as client:
            return {name: rows_of(client, name) for name in names}

    def has(self, name: str) -> bool:
        """Whether there is such a table or view."""
        with self.pipeline().sql_client() as client:
            try:
                client.execute_sql(f"select count(*) from {client.make_qualified_table_name(name)}")
            except DestinationUndefinedEntity:
                return False
        return True

    def by_id(self, table: str = "phone_numbers") -> dict[str, Row]:
        return {row["id"]: row for row in self.rows(table)}

    def state(self) -> dict[str, list[Row]]:
        """Every table but the ledger."""
        return self.tables(*TABLES)

    def load_ids(self) -> dict[str, set[str]]:
        """The loads that wrote the rows of every table but the ledger."""
        with self.pipeline().sql_client() as client:
            return {
                table: {
                    row[0]
                    for row in client.execute_sql(f"select _dlt_load_id from {client.make_qualified_table_name(table)}")
                }
                for table in TABLES
            }


def rows_of(client: Any, table: str) -> list[Row]:
    try:
        with client.execute_query(f"select * from {client.make_qualified_table_name(table)}") as cursor:
            names = [name.lower() for name in cursor.columns_schema]  # Snowflake's are in capitals
            rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    except DestinationUndefinedEntity:
        return []
    rows = [{name: plain(value) for name, value in row.items() if not name.startswith("_dlt_")} for row in rows]
    return sorted(rows, key=lambda row: [str(row.get(name)) for name in SORTED_BY])


def plain(value: Any) -> Any:
    """JSON comes as text from some destinations, and instants without their zone."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


SORTED_BY = ("id", "phone_number_id", "agent_id", "changed_at", "environment_key", "started_at")


def changes(summary: Summary) -> set[tuple[int, int, int]]:
    """What was added, changed and removed of each resource that was asked for."""
    return {(counts.added, counts.changed, counts.removed) for counts in summary.resources.values() if counts}


Connect = Callable[[Sandbox], Connector]


@pytest.fixture
def connect(warehouse: str) -> Connect:
    """Makes a connector for a sandbox."""
    return lambda sandbox: Connector(sandbox, warehouse)


@pytest.fixture
def connector(sandbox: Sandbox, connect: Connect) -> Connector:
    return connect(sandbox)


@pytest.fixture
def loaded(connector: Connector, account: Account, histories: Histories) -> Connector:
    """A connector that has loaded the account once."""
    histories.once(f"{account.numbers} {account.requests}", connector, connector.load)
    connector.sandbox.seen.clear()
    return connector


class Histories:
    """Files of accounts with a history, each played once a process and copied for every test: a copy takes no time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def once(self, history: str, connector: Connector, play: Callable[[], object]) -> None:
        """Leaves what `play` loads, which `history` tells from all others. Only DuckDB has files to copy."""
        kept = self._folder / blake2b(history.encode(), digest_size=8).hexdigest()
        file = Path("talkover_pipeline.duckdb")
        if connector.destination != "duckdb":
            play()
        elif kept.exists():
            shutil.copy(kept, file)
        else:
            play()
            shutil.copy(file, kept)


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return Histories(tmp_path_factory.mktemp("histories"))


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(f"{text}+00:00")
