"""Views as data frames: exact money, types that names promise, read-only, and one sentence where there is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import dlt
import duckdb
import numpy as np
import psycopg2
import pytest
from dlt.common.destination.exceptions import DestinationException
from dlt.destinations import snowflake

from talkover import ConfigurationError, LoadError, NothingLoaded, read_arrow, read_view
from talkover.load.connection import connect
from talkover.load.pipeline import Place, open_pipeline
from talkover.money import UNKNOWN
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS
from talkover.views import view_names

from .conftest import TODAY, Connect, Connector
from .postgres import pooler, running_server
from .test_source import first
from .warehouses import new_database, set_configuration

MORE: dict[str, Any] = {
    "agents": True,
    "calls": True,
    "calls_since": TODAY - timedelta(days=1),
    "calls_window_days": 1000,
    "caller_key": "the key of the tests",
}
"""Loads what is off unless asked for."""


@pytest.mark.essential
def test_every_view_and_table_reads_the_same_from_everywhere(loaded: Connector) -> None:
    loaded.load(**MORE)
    for name, rows in loaded.tables(*view_names(), *KEYS).items():
        frame = read_view(name, destination=loaded.destination)
        assert len(frame) == len(rows), name
        filled = frame.dtypes[frame.notna().any()]
        assert "object" not in filled.map(str).tolist(), (name, filled)


@pytest.mark.slow
def test_types_do_not_depend_on_the_values(loaded: Connector, account: Account) -> None:
    """Notebooks must not break on an account in which nothing happened yet."""
    names = ("current_numbers", "capability_mix", "renewal_calendar", "findings", "cost_by_group")
    full = {name: read_view(name, destination=loaded.destination).dtypes for name in names}
    account.numbers.clear()
    account.requests.clear()
    loaded.load(allow_mass_removal=True)
    for name in names:
        empty = read_view(name, destination=loaded.destination)
        assert len(empty) == 0
        for column, dtype in full[name].items():
            if str(dtype) == "category" or str(dtype).startswith(("datetime64", "float64")):
                assert str(empty[column].dtype) == str(dtype), (name, column)


def test_money_is_exact_and_what_was_unknown_is_a_category(account: Account, connector: Connector) -> None:
    first, second = list(account.numbers.values())[:2]
    first |= {"monthly_renewal_cost": "0.1000", "currency": None}
    second |= {"monthly_renewal_cost": "0.2000", "currency": None}
    connector.load()
    numbers = read_view("current_numbers", destination=connector.destination)
    unknown = numbers[numbers["currency"] == "unknown"]
    assert unknown["monthly_cost"].sum() == Decimal("0.3000")
    assert str(numbers["created_at"].dt.tz) == "UTC"


FAR = {
    "9999-12-31": "9999-12-31T23:59:59.999999Z",  # what a program writes that knows no "never"
    "2262-04-12": "2262-04-12T00:00:00Z",  # the first day after pandas' nanoseconds end
    "1677-09-20": "1677-09-20T00:00:00Z",
    "0001-01-01": "0001-01-01T00:00:00Z",  # .NET's zero
}


@pytest.mark.slow
@pytest.mark.essential
def test_any_day_that_loads_can_be_read(connect: Connect) -> None:
    """pandas 2, all that Python 3.10 gets, takes nanoseconds for granted where it guesses: `make lowest` has it."""
    account = Account(size=0)
    account.numbers = {day: {"id": day, "renewal_date": day, "created_at": instant} for day, instant in FAR.items()}
    with Sandbox(account) as sandbox:
        connector = connect(sandbox)
        if connector.destination == "clickhouse":
            pytest.skip("ClickHouse holds the years 1900 to 2299 alone")
        connector.load(**MORE)
    frame = read_view("phone_numbers", destination=connector.destination).set_index("id")
    days = {day: date.fromisoformat(day) for day in FAR}
    assert {id: instant.date() for id, instant in frame["renewal_date"].items()} == days
    assert {id: instant.date() for id, instant in frame["created_at"].items()} == days
    for name in (*view_names(), *KEYS):
        read_view(name, destination=connector.destination)


@pytest.mark.parametrize(
    ("zone", "instant"),
    [("America/Sao_Paulo", "0001-01-01T00:00:00Z"), ("Pacific/Kiritimati", "9999-12-31T23:59:59Z")],
)
def test_an_instant_is_read_whatever_the_zone_of_the_server(
    zone: str, instant: str, account: Account, connector: Connector
) -> None:
    """There it is of a year that Python does not know."""
    if connector.destination != "postgres":
        pytest.skip("PostgreSQL alone writes instants in its own zone")
    with closing(psycopg2.connect(os.environ["DESTINATION__POSTGRES__CREDENTIALS"])) as server:
        server.autocommit = True
        server.cursor().execute(f"alter database {server.info.dbname} set timezone = '{zone}'")
    id, number = next(iter(account.numbers.items()))
    number["created_at"] = instant
    connector.load()
    frame = read_view("current_numbers", destination="postgres").set_index("phone_number_id")
    assert frame["created_at"][id].year == int(instant[:4])
    del account.numbers[id]
    assert connector.load().resources["phone_numbers"].removed == 1


@pytest.mark.slow
def test_one_environment_is_read_alone(sandbox: Sandbox, connect: Connect) -> None:
    with Sandbox(Account(seed=8, size=9)) as other:
        connect(sandbox).load(environment_key="here", create_views=False)
        connect(other).load(environment_key="there")
    frame = read_view("current_numbers", environment="there", destination=connect(sandbox).destination)
    assert len(frame) == 9
    assert set(frame["environment_key"]) == {"there"}


@pytest.mark.essential
def test_the_destination_chooses_columns_and_rows(account: Account, connector: Connector) -> None:
    ids = list(account.numbers)
    account.numbers[ids[0]]["currency"] = None
    connector.load()
    where = {"currency": None, "environment_key": "default"}
    frame = read_view("phone_numbers", columns=["id", "has_voice"], where=where, destination=connector.destination)
    assert list(frame.columns) == ["id", "has_voice"]
    expected = [number["id"] for number in account.numbers.values() if not number["currency"]]
    assert sorted(frame["id"]) == sorted(expected)
    named = {"where": {"id": ids[1]}, "destination": connector.destination}
    assert read_view("phone_numbers", columns="number", **named)["number"].tolist() == [
        account.numbers[ids[1]]["number"]
    ]


@pytest.mark.slow
@pytest.mark.duckdb
def test_every_view_can_be_asked_for_a_value_of_each_column(loaded: Connector) -> None:
    """DuckDB 1.5 waited for ever for a view of costs that was asked so, in the shape that it had then.

    A type is asked for by `read_view` once, and by SQL from then on: that is the quicker by far.
    """
    asked = set()
    for name in view_names():
        frame = read_view(name, destination=loaded.destination)
        with closing(duckdb.connect("talkover_pipeline.duckdb", read_only=True)) as file:
            for column in frame.columns[frame.notna().any()]:
                value = frame[column].dropna().iloc[0]
                plain = value.item() if isinstance(value, np.generic) else value
                if plain == UNKNOWN:
                    continue
                if type(plain) not in asked:
                    assert len(read_view(name, where={column: plain}, destination=loaded.destination)) > 0, (
                        name,
                        column,
                    )
                asked.add(type(plain))
                query = f"select count(*) from talkover.{name} where {column} = $1"
                assert file.execute(query, [plain]).fetchone() > (0,), (name, column)


def test_a_column_that_is_not_there_is_named(loaded: Connector) -> None:
    for asked in ({"columns": ["cost", "month"]}, {"where": {"cost": 1}}):
        with pytest.raises(ConfigurationError, match=r"^monthly_cost has no column cost. There are month, "):
            read_view("monthly_cost", destination=loaded.destination, **asked)  # type: ignore[arg-type]


def test_an_arrow_table_has_the_types_of_names_everywhere(loaded: Connector) -> None:
    numbers = read_arrow("current_numbers", destination=loaded.destination)
    types = {name: str(numbers.schema.field(name).type) for name in ("monthly_cost", "created_at", "auto_renewal")}
    assert types == {
        "monthly_cost": "decimal128(18, 4)",
        "created_at": "timestamp[us, tz=UTC]",
        "auto_renewal": "bool",
    }
    assert numbers.num_rows == 57


def test_the_configured_destination_is_read(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES__DESTINATION_TYPE", connector.destination)
    monkeypatch.setenv("PIPELINES__DATASET_NAME", "numbers")
    connector.load(destination=None, dataset=None)
    assert len(read_view("current_numbers")) == 57
    pipeline = open_pipeline()
    assert (pipeline.destination.destination_name, pipeline.dataset_name) == (connector.destination, "numbers")


def test_a_notebook_finds_the_project_above_it(
    workspace: Path, loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "notebooks").mkdir()
    monkeypatch.chdir("notebooks")
    assert len(read_view("current_numbers", destination=loaded.destination)) == 57
    assert Path.cwd().name == "notebooks"


def test_reading_does_not_write(loaded: Connector) -> None:
    if loaded.destination in ("ducklake", "clickhouse", "bigquery"):
        pytest.skip("no session is read-only there: it is the role that must lack the rights")
    with (
        connect(Place.of(loaded.pipeline()), read_only=True) as client,
        pytest.raises(DestinationException, match="read-only|READ ONLY transaction"),
    ):
        client.execute_sql(f"delete from {client.make_qualified_table_name('phone_numbers')}")


@pytest.mark.postgres
def test_the_next_client_of_a_pooled_session_can_write(
    request: pytest.FixtureRequest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database(request.getfixturevalue("postgres_server"))
    set_configuration(monkeypatch, "postgres", credentials=url)
    Connector(sandbox, "postgres").load()
    with pooler(url) as pooled:
        set_configuration(monkeypatch, "postgres", credentials=pooled)
        assert len(read_view("current_numbers", destination="postgres")) == 57
        with closing(psycopg2.connect(pooled)) as session, session.cursor() as cursor:
            cursor.execute("show search_path")
            assert cursor.fetchone() == ('"talkover",public',), "this is the session that was read in"
            cursor.execute("create table mine (id integer); insert into mine values (1)")
            session.commit()


def test_an_engine_of_ones_own_can_write_after_it_was_read(connector: Connector) -> None:
    if connector.destination != "sqlalchemy":
        pytest.skip("SQLAlchemy's pool keeps sessions, too")
    connector.load()
    sqlalchemy = import_module("sqlalchemy")
    engine = sqlalchemy.create_engine(os.environ["DESTINATION__SQLALCHEMY__CREDENTIALS"], pool_size=1, max_overflow=0)
    session = sqlalchemy.text("select connection_id()")
    with engine.begin() as connection:
        before = connection.execute(session).scalar()
    assert len(read_view("current_numbers", destination=dlt.destinations.sqlalchemy(engine))) == 57
    with engine.begin() as connection:
        assert connection.execute(session).scalar() == before
        connection.execute(sqlalchemy.text("create table home.mine (id integer)"))


@pytest.mark.slow
@pytest.mark.postgres
def test_a_server_that_goes_away_while_it_is_read_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_server() as server:
        set_configuration(monkeypatch, "postgres", credentials=server.url)

        def read_from_a_killed_server() -> None:
            with connect(Place.of(open_pipeline("postgres")), read_only=True) as client:
                server.kill()
                client.execute_sql("select 1")

        with pytest.raises(LoadError, match="postgres does not answer: .*refused"):
            read_from_a_killed_server()
        server.start()


def in_capitals() -> Any:
    """DuckDB with the names that dlt gives Snowflake's tables and columns."""
    destination = dlt.destinations.duckdb("capitals.duckdb")
    destination.caps_params["casefold_identifier"] = snowflake().capabilities().casefold_identifier
    return destination


@pytest.mark.slow
def test_columns_are_called_as_in_the_docs_where_a_destination_writes_capitals(
    account: Account, sandbox: Sandbox
) -> None:
    first(account)["field_of_tomorrow"] = 1
    for destination in ("duckdb", in_capitals()):
        Connector(sandbox, destination).load(**MORE)
    with duckdb.connect("capitals.duckdb", read_only=True) as file:
        assert "ENVIRONMENT_KEY" in file.sql("from talkover.phone_numbers").columns
    with duckdb.connect("talkover_pipeline.duckdb", read_only=True) as file:
        called = {name: file.sql(f"from talkover.{name}").columns for name in (*view_names(), *KEYS)}
    for name, columns in called.items():
        assert list(read_view(name, destination=in_capitals())) == columns, name
    assert "field_of_tomorrow" in read_view("phone_numbers", destination=in_capitals())


def test_nothing_loaded_is_one_sentence(warehouse: str) -> None:
    with pytest.raises(NothingLoaded, match=r"run `talkover load` first. .*--demo"):
        read_view("monthly_cost", destination=warehouse)
    assert not list(Path().glob("*.duckdb")), "looking must not make a file"


def test_a_connection_of_ones_own_is_loaded_and_read(sandbox: Sandbox) -> None:
    with duckdb.connect() as memory:
        mine = dlt.destinations.duckdb(memory)
        Connector(sandbox).load(destination=mine)
        assert len(read_view("current_numbers", destination=mine)) == 57


@pytest.mark.duckdb
def test_a_table_that_was_not_wanted_yet(loaded: Connector) -> None:
    with pytest.raises(NothingLoaded, match=r"holds no calls in .* yet: `talkover load --with calls` loads it"):
        read_view("calls")
    assert len(read_view("number_usage")) == 0


def test_no_view_of_that_name(workspace: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="'monthly_costs' is not a view or table. There are agent_phone_numbers, "
    ):
        read_view("monthly_costs")


def test_a_destination_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://a:secret-word@127.0.0.1:1/b")
    with pytest.raises(LoadError, match="refused") as caught:
        read_view("monthly_cost", destination="postgres")
    assert "secret-word" not in str(caught.value)


def test_notebooks_show_the_sentence_alone() -> None:
    assert NothingLoaded("run it first")._render_traceback_() == ["NothingLoaded: run it first"]


@pytest.mark.duckdb
def test_a_file_that_another_process_writes(loaded: Connector) -> None:
    """DuckDB lets one process write or many read."""
    hold = "import duckdb; held = duckdb.connect('talkover_pipeline.duckdb'); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(LoadError, match="is open in another process"):
            read_view("current_numbers")
        holder.kill()
    assert len(read_view("current_numbers")) == 57
