"""What a destination cannot do is refused before any request is sent; and views stand in nobody's way."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import dlt
import psycopg2
import pytest
from dlt.common.destination.exceptions import DestinationException, DestinationUndefinedEntity
from dlt.destinations.impl.athena.factory import athena_merge_strategies_selector
from dlt.pipeline.exceptions import PipelineStepFailed

from talkover import (
    CallsError,
    ConfigurationError,
    InvalidRow,
    LoadError,
    NothingLoaded,
    load_account,
    read_view,
    talkover_source,
)
from talkover.cli import main
from talkover.load.check import check_account
from talkover.load.load import create_views_alone
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS
from talkover.views import view_names

from .conftest import TODAY, Connector, at
from .test_source import first

# Refusal.

WITHOUT_MERGE = "cannot delete rows by their key.*No request was sent. What works: DuckDB, DuckLake"


@pytest.mark.parametrize("destination", ["filesystem", "lancedb", "weaviate"])
def test_a_destination_that_cannot_delete_rows_is_refused(destination: str, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match=f"'{destination}' {WITHOUT_MERGE}"):
        load_account(destination=destination, api_token=sandbox.token, base_url=sandbox.base_url)
    with pytest.raises(ConfigurationError, match=WITHOUT_MERGE):
        list(check_account(destination))
    assert sandbox.seen == []


def test_a_function_as_destination_is_refused(sandbox: Sandbox) -> None:
    @dlt.destination
    def sink(items: Any, table: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=f"'sink' {WITHOUT_MERGE}"):
        load_account(destination=sink, api_token=sandbox.token, base_url=sandbox.base_url)
    assert sandbox.seen == []


def test_a_destination_without_sql_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="'dummy' cannot be read by SQL"):
        load_account(destination="dummy", api_token=sandbox.token, base_url=sandbox.base_url)
    assert sandbox.seen == []


@pytest.mark.parametrize("table_format", [None, "delta", "iceberg"])
def test_files_in_a_plain_pipeline_are_refused_in_each_format(
    table_format: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt would append to plain files and Delta, and leave released numbers in Iceberg."""
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", "files")
    source = talkover_source(sandbox.token, base_url=sandbox.base_url)
    if table_format:
        for resource in source.resources.values():
            resource.apply_hints(table_format=table_format)
    pipeline = dlt.pipeline("files", destination="filesystem", dataset_name="numbers")
    with pytest.raises(PipelineStepFailed, match=WITHOUT_MERGE) as refused:
        pipeline.run(source)
    assert refused.value.step == "extract"
    assert sandbox.seen == []
    assert not pipeline.has_pending_data


@pytest.mark.parametrize(("table_format", "is_refused"), [(None, True), ("delta", True), ("iceberg", False)])
def test_what_depends_on_the_format_of_a_table_is_refused_by_it(
    table_format: Any, is_refused: bool, sandbox: Sandbox
) -> None:
    """Athena deletes rows from Iceberg tables alone."""
    like_athena = dlt.destinations.duckdb(merge_strategies_selector=athena_merge_strategies_selector)
    source = talkover_source(sandbox.token, base_url=sandbox.base_url).with_resources("phone_numbers")
    if table_format:
        source.phone_numbers.apply_hints(table_format=table_format)
    pipeline = dlt.pipeline("formats", destination=like_athena, dataset_name="numbers")
    if is_refused:
        with pytest.raises(PipelineStepFailed, match=WITHOUT_MERGE):
            pipeline.run(source)
        assert sandbox.seen == []
    else:
        pipeline.run(source)
        assert len(sandbox.seen) == 1


def test_the_command_line_exits_with_2(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TALKOVER_TOKEN", sandbox.token)
    monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", sandbox.base_url)
    assert main(["load", "--destination", "filesystem"]) == 2
    assert "cannot delete rows" in capsys.readouterr().err
    assert main(["load", "--destination", "redshift"]) == 2
    assert "RedshiftClientConfiguration`: `credentials`" in capsys.readouterr().err
    assert sandbox.seen == []


def test_a_driver_that_is_not_installed_is_named(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snowflake", None)
    with pytest.raises(ConfigurationError, match=r"snowflake.*`pip install 'dlt\[snowflake\]'` brings it"):
        load_account(destination="snowflake", api_token=sandbox.token, base_url=sandbox.base_url)
    assert sandbox.seen == []


# Tables that dlt drops, and views that read them.

REFRESH = pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])


def views_that_are_there(connector: Connector) -> set[str]:
    """The views that can be read, asked over one connection."""
    found = set()
    with connector.pipeline().sql_client() as client:
        for name in view_names():
            with suppress(DestinationUndefinedEntity):
                client.execute_sql(f"select count(*) from {client.make_qualified_table_name(name)}")
                found.add(name)
    return found


@pytest.mark.slow
@REFRESH
def test_a_load_that_drops_its_tables_leaves_every_view(
    refresh: str, account: Account, loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.release(next(iter(account.numbers)))
    with monkeypatch.context() as configured:
        configured.setenv("REFRESH", refresh)
        summary = loaded.load()
    assert summary.resources["phone_numbers"].added == 56
    assert len(loaded.rows("phone_number_changes")) == 56
    assert views_that_are_there(loaded) == set(view_names())
    assert len(loaded.rows("current_numbers")) == 56


@pytest.mark.slow
@REFRESH
def test_a_plain_pipeline_drops_its_tables_although_views_read_them(refresh: Any, loaded: Connector) -> None:
    source = talkover_source(loaded.sandbox.token, base_url=loaded.sandbox.base_url)
    loaded.pipeline().run(source, refresh=refresh)
    assert len(loaded.rows("phone_number_changes")) == 57
    assert views_that_are_there(loaded) == (set(view_names()) if refresh == "drop_data" else set())
    assert main(["views", "--destination", loaded.destination]) == 0
    assert views_that_are_there(loaded) == set(view_names())


def test_a_listing_that_fails_leaves_the_views(loaded: Connector) -> None:
    before = loaded.rows("current_numbers")
    source = talkover_source("talq_wrong", base_url=loaded.sandbox.base_url)
    with pytest.raises(PipelineStepFailed, match="answered 401"):
        loaded.pipeline().run(source, refresh="drop_sources")
    assert loaded.rows("current_numbers") == before


def test_a_view_of_an_earlier_version_with_other_columns_is_replaced(loaded: Connector) -> None:
    loaded.execute("drop view {data_health}")
    loaded.execute("create view {data_health} as select 1 as something_else, 2 as gone_by_now")
    create_views_alone(loaded.destination)
    assert {"resource", "age_days"} <= loaded.rows("data_health")[0].keys()


# Least rights on PostgreSQL: docs/destinations.md holds the statements, and these tests run them.


def granted() -> str:
    """The grants as the documentation gives them."""
    text = (Path(__file__).parent.parent / "docs" / "destinations.md").read_text()
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)[0]


@pytest.fixture
def roles(postgres_server: str) -> dict[str, str]:
    """A database in which the grants were made, and each role's URL of it."""
    database = f"test_{uuid4().hex}"
    names = {role: f"{role}_{database[5:13]}" for role in ("talkover_loader", "talkover_reader")}
    statements = granted().replace("analytics", database)
    for role, name in names.items():
        statements = statements.replace(role, name)
    server = urlsplit(postgres_server)
    nothing = f"revoke all on database {database} from public; revoke all on schema public from public;"
    for where, statement in (("postgres", f"create database {database}"), (database, nothing + statements)):
        connection = psycopg2.connect(server._replace(path=f"/{where}").geturl())
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()
    return {
        role: server._replace(netloc=f"{name}:secret@{server.hostname}:{server.port}", path=f"/{database}").geturl()
        for role, name in names.items()
    }


@pytest.mark.postgres
def test_a_role_with_the_documented_grants_loads_and_another_only_reads(
    roles: dict[str, str], account: Account, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = Connector(sandbox, "postgres")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", roles["talkover_loader"])
    more = {"agents": True, "calls": True, "calls_since": TODAY, "caller_key": "the key of the tests"}
    connector.load(**more, calls_window_days=1000)
    account.release(next(iter(account.numbers)))
    assert connector.load().resources["phone_numbers"].removed == 1

    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", roles["talkover_reader"])
    names = (*view_names(), *KEYS)
    for name, rows in connector.tables(*names).items():
        assert len(read_view(name, destination="postgres")) == len(rows)
    for statement in ("delete from {phone_numbers}", "drop view {findings}", "create table {mine} (a integer)"):
        with pytest.raises(DestinationException, match="permission denied|must be owner"):
            connector.execute(statement)
    with pytest.raises(LoadError, match="permission denied"):
        connector.load()


# Days that a destination cannot hold.

DAYS_OF_CLICKHOUSE = {"renewal_date": ("1970-01-01", "2149-06-06"), "created_at": ("1900-01-01", "2299-12-31")}
ENDS_OF_TIME = [
    *(
        ("renewal_date", day, date.fromisoformat(day))
        for day in ("0001-01-01", "1969-12-31", "1970-01-01", "2149-06-06", "2149-06-07", "9999-12-31")
    ),
    *(
        ("created_at", f"{text}Z", at(text))
        for text in ("1899-12-31T23:59:59", "1900-01-01T00:00:00", "2299-12-31T23:59:59", "2300-01-01T00:00:00")
    ),
]


@pytest.mark.essential
def test_a_day_is_held_as_it_is_served_or_refused(
    account: Account, connector: Connector, subtests: pytest.Subtests
) -> None:
    """ClickHouse would store the nearest one that it has, without a word."""
    refused, held = [], {}
    for number, (field, served, expected) in zip(account.numbers.values(), ENDS_OF_TIME, strict=False):
        first, last = DAYS_OF_CLICKHOUSE[field]
        if connector.destination == "clickhouse" and not first <= served[:10] <= last:
            found = f"id '{number['id']}': {field} is {expected}, and ClickHouse holds {first} to {last} alone"
            refused.append((number, {field: served}, found))
        else:
            number[field] = served
            held[number["id"], field] = expected
    for number, late, found in refused:
        with subtests.test(found), served_as(number, late), pytest.raises(InvalidRow, match=re.escape(found)):
            connector.load(create_views=False)
        assert not connector.has("phone_numbers")
    connector.load(create_views=False)
    rows = connector.by_id()
    assert {(id, field): rows[id][field] for id, field in held} == held


@contextmanager
def served_as(number: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """`number` with other `values`, for a while."""
    before = dict(number)
    number |= values
    yield
    number |= before


@pytest.mark.essential
def test_an_instant_of_a_call_is_held_as_it_is_served_or_refused(account: Account, connector: Connector) -> None:
    yesterday = TODAY - timedelta(days=1)
    call = next(call for call in account.calls_on(yesterday) if call["status"] == "completed")
    call["ended_at"] = "2300-01-01T00:00:00Z"
    calls = {"calls": True, "calls_since": yesterday, "caller_key": "the key of the tests", "create_views": False}
    if connector.destination == "clickhouse":
        with pytest.raises(CallsError, match=f"id '{call['id']}': ended_at is 2300-01-01"):
            connector.load(**calls, observed_at=at("2026-03-15T23:00:00"))
        return
    connector.load(**calls, observed_at=at("2026-03-15T23:00:00"))
    assert connector.by_id("calls")[call["id"]]["ended_at"] == datetime(2300, 1, 1, tzinfo=timezone.utc)


# Texts that a destination cannot hold.

NUL_IN = {
    "formatted_number": "555\x00100",
    "agents": [{"id": "a", "name": "Ana\x00"}],
    "note": "\x00",
    "notes": ["\\\x00"],
}


def test_a_nul_is_held_as_it_is_served_or_refused(
    account: Account, connector: Connector, subtests: pytest.Subtests
) -> None:
    """PostgreSQL has none, and its driver would name no row."""
    number = first(account)
    number |= {"note": r"\u0000", "notes": [r"\u0000", r"\\u0000"]}
    for field, served in NUL_IN.items() if connector.destination == "postgres" else ():
        found = rf"id '{number['id']}': {field}(__v_\w+)? is .*, in which is a NUL \(.u0000\): PostgreSQL holds none"
        with subtests.test(field), served_as(number, {field: served}), pytest.raises(InvalidRow, match=found):
            connector.load(create_views=False)
        assert not connector.has("phone_numbers")
    number |= {} if connector.destination == "postgres" else NUL_IN
    connector.load(create_views=False)
    row = connector.by_id()[number["id"]]
    assert {field: row[field] for field in ("formatted_number", "note", "notes")} == {
        field: number[field] for field in ("formatted_number", "note", "notes")
    }


# Passwords of PostgreSQL.


@pytest.fixture
def guarded(postgres_server: str, monkeypatch: pytest.MonkeyPatch, workspace: Path) -> str:
    """The address of a role that the server asks for its password (`secret`), which is not in it nor anywhere else."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(workspace / "pgpass"))
    role = f"guarded_{uuid4().hex}"
    connection = psycopg2.connect(postgres_server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"create role {role} login password 'secret'; show hba_file")
        rules = Path(cursor.fetchone()[0])
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        cursor.execute("select pg_reload_conf()")
    connection.close()
    address = re.sub("//.*@", f"//{role}@", postgres_server)
    for _ in range(100):  # the server takes its rules over after it has answered
        try:
            psycopg2.connect(address).close()
        except psycopg2.OperationalError:
            return address
        time.sleep(0.05)
    raise RuntimeError("PostgreSQL asks for no password")


def reach_postgres() -> None:
    """Raises LoadError where it does not let us in."""
    with pytest.raises(NothingLoaded):
        create_views_alone("postgres")


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["PGPASSWORD", "DESTINATION__POSTGRES__CREDENTIALS__PASSWORD"])
def test_a_password_may_stand_beside_the_address(guarded: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guarded)
    monkeypatch.setenv(name, "secret")
    reach_postgres()


@pytest.mark.postgres
def test_a_password_is_found_in_the_file_where_psql_finds_it(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guarded)
    Path("pgpass").touch(0o600)
    Path("pgpass").write_text("*:*:*:*:secret\n")
    reach_postgres()


@pytest.mark.postgres
def test_the_password_of_the_address_goes_before_all_others(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guarded.replace("@", ":secret@"))
    monkeypatch.setenv("PGPASSWORD", "wrong")
    reach_postgres()


@pytest.mark.postgres
def test_a_password_that_is_nowhere_is_asked_for_in_one_line(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", guarded)
    with pytest.raises(LoadError, match="^postgres does not answer: .*no password supplied$"):
        create_views_alone("postgres")


@pytest.mark.postgres
def test_a_server_that_trusts_needs_no_password(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres_server.replace(":postgres@", "@"))
    reach_postgres()


def test_what_else_an_address_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql:///numbers")
    with pytest.raises(ConfigurationError, match=r"`PostgresCredentials` with missing field\(s\): `username`, `host`$"):
        create_views_alone("postgres")


# Growth.


def test_what_is_known_is_read_in_batches(loaded: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkover.sync.held.FETCH_ROWS", 10)
    assert loaded.load(create_views=False).resources["phone_numbers"].unchanged == 57
