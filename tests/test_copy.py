"""Copies: a lived-in account in another destination, which goes on there as if it had always been loaded into it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from talkover import ConfigurationError, InvalidRow, LoadError, NothingLoaded, Summary
from talkover.cli import main
from talkover.dlt_internals import ROW_COLUMNS, stored_columns
from talkover.load.copy import Copy, copy_account
from talkover.sandbox import Account, Sandbox
from talkover.sync.tables import KEYS, columns
from talkover.views import create_views

from .conftest import TODAY, Connector, Row, at
from .test_load import Disturbing, change_much
from .test_views import GRAIN, sorted_rows, to_three_places
from .warehouses import in_postgres

NOON = at("2026-03-15T12:00:00")
HOUR = timedelta(hours=1)
KEY = "the key of the tests"
MORE: dict[str, Any] = {"agents": True, "calls": True, "calls_since": TODAY - timedelta(days=9), "caller_key": KEY}

DRIVER = """
import os, signal, sys
from talkover.load.copy import copy_account
from talkover.load.progress import TerminalLine

class Killing(TerminalLine):
    done = 0
    def update(self, name, inc=1, total=None, *_, **__):
        self.done += inc if self._verb == "Load" and name == "Jobs" else 0
        if self.done >= 2:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    copy_account(sys.argv[2], destination=sys.argv[1], progress=Killing())
"""
"""A copy that is killed when two of its tables are there: one may be the table of dlt's own state."""


def name_duckdb(patch: pytest.MonkeyPatch, name: str) -> str:
    """A destination of that name: a DuckDB file of its own."""
    patch.setenv(f"DESTINATION__{name.upper()}__DESTINATION_TYPE", "duckdb")
    patch.setenv(f"DESTINATION__{name.upper()}__CREDENTIALS", str(Path.cwd() / f"{name}.duckdb"))
    return name


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Account, Path]:
    """An account, and a DuckDB file with three loads of it: agents, calls, and fields of several types that no page
    documents.
    """
    account = Account(seed=7, size=30, founded=TODAY)
    folder = tmp_path_factory.mktemp("life")
    with pytest.MonkeyPatch.context() as patch, Sandbox(account) as sandbox:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.chdir(folder)
        connector = Connector(sandbox, name_duckdb(patch, "source"))
        first, second, third, *_ = account.numbers.values()
        connector.load(observed_at=NOON - 3 * HOUR, **MORE)
        first |= {"routing": {"b": [1, 2.5, None], "a": "ü"}, "score": 3, "seen": "2026-03-01T00:00:00Z"}
        second |= {"score": "high", "routing": [], "is_vip": True}
        connector.load(observed_at=NOON - 2 * HOUR, **MORE)
        change_much(account)
        third["score"] = {"of": 7}
        connector.load(observed_at=NOON - HOUR, **MORE)
    return account, folder / "source.duckdb"


@pytest.fixture
def account(life: tuple[Account, Path]) -> Account:
    return deepcopy(life[0])


@pytest.fixture
def lived_in(life: tuple[Account, Path], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """That file in the workspace."""
    connector = Connector(sandbox, name_duckdb(monkeypatch, "source"))
    shutil.copy(life[1], "source.duckdb")
    return connector


@pytest.fixture
def target(lived_in: Connector, warehouse: str) -> Connector:
    """Nothing is there yet."""
    return Connector(lived_in.sandbox, warehouse)


def copied(source: Connector, target: Connector, **arguments: Any) -> Copy:
    return copy_account(target.destination, destination=source.destination, **arguments)


def tables(connector: Connector) -> dict[str, list[Row]]:
    found = connector.tables(*KEYS)
    return {name: sorted((without_nulls(row) for row in rows), key=str) for name, rows in found.items()}


def without_nulls(row: Row) -> Row:
    """Some destinations give 1 for true."""
    found = {name: int(value) if isinstance(value, bool) else value for name, value in sorted(row.items())}
    return {name: value for name, value in found.items() if value is not None}


def assert_same_views(*connectors: Connector) -> None:
    for connector in connectors:
        pipeline = connector.pipeline()
        with pipeline.sql_client() as client:
            assert not create_views(client, Path(pipeline.working_dir), NOON).failed
    for name in GRAIN:
        source, target = (sorted_rows(name, destination=connector.destination) for connector in connectors)
        if "bigquery" in {connector.destination for connector in connectors}:
            source, target = to_three_places(source), to_three_places(target)
        assert_frame_equal(target, source, check_dtype=False, obj=name)


def figures(summary: Summary) -> dict[str, tuple[int, int, int]]:
    return {name: (of.added, of.changed, of.removed) for name, of in summary.resources.items() if of}


@pytest.mark.slow
@pytest.mark.essential
def test_a_copy_of_a_copy_has_every_table_and_view_of_the_first_and_the_next_load_finds_no_change(
    lived_in: Connector, target: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = copied(lived_in, target)
    assert list(made.tables) == list(KEYS)
    assert made.tables["phone_numbers"] == 30
    assert tables(target) == tables(lived_in)
    back = Connector(lived_in.sandbox, name_duckdb(monkeypatch, "back"))
    copied(target, back)
    assert tables(back) == tables(lived_in)
    assert_same_views(lived_in, target)
    assert_same_views(lived_in, back)
    for connector in (target, back):
        before = tables(connector)
        assert set(figures(connector.load(observed_at=NOON - HOUR / 2, **MORE)).values()) == {(0, 0, 0)}
        assert {name: rows for name, rows in tables(connector).items() if name not in OF_A_RUN} == {
            name: rows for name, rows in before.items() if name not in OF_A_RUN
        }


OF_A_RUN = ("load_runs", "call_windows")


@pytest.mark.slow
def test_an_account_goes_on_in_the_copy_as_where_it_came_from(
    account: Account, lived_in: Connector, target: Connector
) -> None:
    copied(lived_in, target)
    one, other, *_ = account.numbers.values()
    one["score"], one["routing"] = "low", {"c": 1}
    other["label"] = "moved"
    account.release(list(account.numbers)[4])
    account.buy()
    account.advance(TODAY + timedelta(days=1))
    found = figures(target.load(observed_at=NOON + 24 * HOUR, **MORE))
    assert found == figures(lived_in.load(observed_at=NOON + 24 * HOUR, **MORE))
    assert all(sum(found[resource]) for resource in ("phone_numbers", "calls"))
    there, here = tables(target), tables(lived_in)
    assert {name: rows for name, rows in there.items() if name not in OF_A_RUN} == {
        name: rows for name, rows in here.items() if name not in OF_A_RUN
    }


@pytest.mark.slow
def test_types_and_keys_are_those_of_a_load(sandbox: Sandbox, target: Connector) -> None:
    copied(Connector(sandbox, "source"), target)
    loaded = Connector(sandbox, target.destination, dataset="loaded")
    loaded.load(observed_at=NOON, **MORE)
    made, expected = columns_of(target), columns_of(loaded)
    for table in KEYS:
        for name in (*columns(table), *ROW_COLUMNS):
            assert made[table][name] == expected[table][name], f"{table}.{name}"
    _, stored = zip(*made["phone_numbers"].values(), strict=True)
    of_numbers = {column["name"]: column["data_type"] for column in stored}
    assert (of_numbers["agents"], of_numbers["routing"], of_numbers["score__v_json"]) == ("json", "json", "json")


def columns_of(connector: Connector) -> dict[str, dict[str, tuple[Any, Any]]]:
    """The columns of each table: as the destination has them, and as dlt stored them there."""
    with connector.pipeline().destination_client() as client:
        stored, there = stored_columns(client.sql_client, "talkover"), dict(client.get_storage_tables(KEYS))
    return {table: {name: (there[table].get(name), column) for name, column in stored[table].items()} for table in KEYS}


@pytest.mark.slow
@pytest.mark.duckdb
def test_a_window_of_a_load_that_was_not_completed_is_not_copied_and_is_read_again(
    lived_in: Connector, target: Connector
) -> None:
    newest = "select max(load_id) from talkover._dlt_loads"
    lived_in.execute(f"update {{call_windows}} set _dlt_load_id = 'killed' where _dlt_load_id = ({newest})")
    windows = len(lived_in.rows("call_windows"))
    assert copied(lived_in, target).tables["call_windows"] == windows - 1
    sandbox = target.sandbox
    sandbox.seen.clear()
    target.load(observed_at=NOON - HOUR + timedelta(seconds=30), **MORE)
    assert any(request.endpoint == "calls" for request in sandbox.seen)


# What is refused, and how a copy ends.


@pytest.mark.slow
def test_a_copy_that_was_finished_is_compared_and_not_written_again(lived_in: Connector, target: Connector) -> None:
    made = copied(lived_in, target)
    loads = target.load_ids()
    again = copied(lived_in, target)
    assert (made.was_there, again.was_there) == (False, True)
    assert again.tables == made.tables
    assert target.load_ids() == loads


@pytest.mark.slow
@pytest.mark.duckdb
def test_another_history_is_never_overwritten(lived_in: Connector, target: Connector) -> None:
    copied(lived_in, target)
    target.update("phone_number_changes", "number = 'other'")
    before = tables(target)
    says = "holds another history than .*source.duckdb, dataset talkover already .phone_number_changes: number of"
    with pytest.raises(ConfigurationError, match=says):
        copied(lived_in, target)
    target.load(observed_at=NOON, **MORE)
    with pytest.raises(ConfigurationError, match=r"load_runs: 3 rows to copy, 4 there\). Nothing was written"):
        copied(lived_in, target)
    assert tables(target)["phone_number_changes"] == before["phone_number_changes"]


@pytest.mark.slow
@pytest.mark.duckdb
def test_a_table_that_only_the_target_has_is_another_history(lived_in: Connector, target: Connector) -> None:
    copied(lived_in, target)
    lived_in.execute("drop table {agents} cascade")
    with pytest.raises(ConfigurationError, match=r"agents: 0 rows to copy, \d+ there"):
        copied(lived_in, target)


@pytest.mark.slow
@pytest.mark.duckdb
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "update {calls} set duration = 77777 where id = (select max(id) from {calls})",
            "calls differs in duration of",
        ),
        ("delete from {agents} where id = (select max(id) from {agents})", "agents differs in 2 rows to copy, 3 there"),
        (
            "update {phone_numbers} set agents = '[]' where id = (select max(id) from {phone_numbers})",
            "in agents of 30",
        ),
    ],
)
def test_a_copy_that_is_not_the_same_is_named_as_that(
    change: str, says: str, lived_in: Connector, target: Connector
) -> None:
    """Somebody writes into the source without a lock, after it was read."""
    with pytest.raises(LoadError, match=says):
        copied(lived_in, target, progress=Disturbing("Load", lambda: lived_in.execute(change)))


@pytest.mark.slow
def test_a_copy_that_was_killed_is_run_again(lived_in: Connector, target: Connector) -> None:
    Path("driver.py").write_text(DRIVER)
    done = subprocess.run([sys.executable, "driver.py", lived_in.destination, target.destination], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sum(map(len, tables(target).values())), "some rows are there"
    lived_in.load(observed_at=NOON, **MORE)
    copied(lived_in, target)
    assert tables(target) == tables(lived_in)


@pytest.mark.duckdb
def test_a_copy_reads_the_source_alone(lived_in: Connector, target: Connector) -> None:
    before = Path("source.duckdb").read_bytes()
    copied(lived_in, target)
    assert Path("source.duckdb").read_bytes() == before
    assert list(Path("dlt/pipelines/.talkover_copies").iterdir()) == []


@pytest.mark.duckdb
def test_there_must_be_something_to_copy(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name_duckdb(monkeypatch, "source")
    with pytest.raises(
        NothingLoaded, match="source.duckdb, dataset talkover, holds nothing to copy: run `talkover load`"
    ):
        copy_account(warehouse, destination="source")
    assert not Path("source.duckdb").exists()


@pytest.mark.duckdb
def test_a_copy_into_itself_is_refused(target: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "--destination", "source", "--to", "source"]) == 2
    assert "source.duckdb, dataset talkover, would be copied into itself" in capsys.readouterr().err


@pytest.mark.duckdb
def test_a_column_that_no_load_made_is_named(lived_in: Connector, target: Connector) -> None:
    lived_in.execute("alter table {phone_numbers} add column owner text")
    with pytest.raises(LoadError, match="phone_numbers has the column 'owner', which no load made"):
        copied(lived_in, target)


@pytest.mark.duckdb
def test_a_destination_that_cannot_hold_it_is_refused(lived_in: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "--destination", "source", "--to", "filesystem"]) == 2
    assert "'filesystem' cannot delete rows by their key" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize(
    ("field", "served"),
    [("formatted_number", "555\x00100"), ("agents", [{"id": "a", "name": "Ana\x00"}]), ("routing", ["\\\x00"])],
)
def test_a_nul_that_postgres_cannot_hold_is_named(
    account: Account,
    lived_in: Connector,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    served: Any,
) -> None:
    target = Connector(lived_in.sandbox, in_postgres(request, monkeypatch))
    number = next(iter(account.numbers.values()))
    number[field] = served
    lived_in.load(observed_at=NOON, **MORE)
    found = (
        rf"phone_numbers of .*source.duckdb, dataset talkover, id '{number['id']}': {field} is .*, in which is a NUL"
    )
    with pytest.raises(InvalidRow, match=rf"{found} .*\. Nothing was copied\. "):
        copied(lived_in, target)
    assert not target.has("phone_numbers")


@pytest.mark.slow
@pytest.mark.duckdb
def test_columns_that_only_another_pipeline_knows_are_copied(lived_in: Connector, target: Connector) -> None:
    """Two pipelines share the dataset: what the other one stored last does not know them."""
    with Sandbox(Account(seed=3, size=2, founded=TODAY)) as other:
        arguments = {"environment_key": "other", "pipeline_name": "other"}
        Connector(other, lived_in.destination).load(observed_at=NOON, **arguments)
    copied(lived_in, target)
    assert {"of": 7} in [row.get("score__v_json") for row in tables(target)["phone_numbers"]]


@pytest.mark.slow
def test_the_command_prints_a_line_a_table(
    lived_in: Connector, target: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["copy", "--destination", "source", "--to", target.destination, "--to-dataset", "numbers"]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "phone_numbers                    30 rows, the same in both"
    assert len(printed) == len(KEYS) + 1
    place = "/talkover_pipeline.duckdb" if target.destination == "duckdb" else target.destination
    assert re.search(rf"source\.duckdb, dataset talkover: copied to .*{place}.*, dataset numbers; ", printed[-1])
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["tables"]["phone_numbers"], shown["was_there"], shown["dataset"]) == (30, True, "numbers")
