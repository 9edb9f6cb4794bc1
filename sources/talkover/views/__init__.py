"""The views, and their creation on any SQL destination.

phone_numbers, phone_number_changes, …, load_runs → current_numbers, monthly_cost, findings, …
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from textwrap import shorten
from typing import Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.exceptions import DltException
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp
from sqlglot._version import __version__ as sqlglot_version

from ..errors import LoadError
from ..sync.tables import KEYS, MORE_TABLES, TableName
from .thresholds import Thresholds, configured_thresholds
from .translation import read_by, stand_in, view_names, view_sql

__all__ = ["Views", "configured_thresholds", "create_views", "drop_views", "view_names", "view_sql"]

KEPT = "talkover_views.json"
REASON_LENGTH = 200
"""Characters: some drivers repeat the whole statement."""


@dataclass(frozen=True)
class Views:
    """What became of the views: `failed` is name to reason, `missing` are tables that are not there."""

    made: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def not_made(self) -> set[str]:
        """The views that read one of the missing tables, by way of other views or themselves."""
        gone = set(self.missing)
        for name in view_names():
            if gone & read_by(name):
                gone.add(name)
        return gone - set(self.missing)

    @property
    def notes(self) -> list[str]:
        """The sentence about missing tables, where any is."""
        if not self.missing:
            return []
        views = ", ".join(name for name in view_names() if name in self.not_made)
        says = f"the dataset has no {' or '.join(self.missing)}, so these views were not created: {views}"
        return [f"{says}. `talkover load` brings every table"]


def create_views(
    client: SqlClientBase[Any],
    folder: Path,
    now: datetime | None = None,
    *,
    again: bool = True,
    thresholds: Thresholds | None = None,
) -> Views:
    """Creates every view whose tables are there, in the dataset of `client`.

    Of those that are loaded where they are wanted, the ones that are not there are empty for the views.

    `folder` is the pipeline's own, where the statements are kept. Unless `again`, nothing is done where these very
    statements were carried out from there and every view is still there. A view left from before, whose table is gone,
    stays. `now` and `thresholds`: see `view_sql`.
    """
    found = _found(client, (*view_names(), *MORE_TABLES))
    kept = _statements(client, folder / KEPT, now, _absent_tables(client, found), thresholds or {})
    statements = kept["statements"]
    if not again and kept["are_made"] and found is not None and all(found.get(name) == "VIEW" for name in statements):
        return Views(tuple(statements))
    failed = _run(client, statements)
    _keep(folder / KEPT, kept | {"are_made": not failed})
    if not failed:
        return Views(tuple(statements))
    missing = _missing_tables(client)
    not_made = Views(missing=missing).not_made
    possible = {name: statement for name, statement in statements.items() if name not in not_made}
    if failed.keys() & possible.keys():
        # PostgreSQL replaces no view by one with other columns, as those of an earlier version may have
        with suppress(Exception):  # what follows reports a lost connection
            drop_views(client)
        failed = _run(client, possible)
    failed = {name: reason for name, reason in failed.items() if name in possible}
    return Views(tuple(name for name in possible if name not in failed), failed, missing)


def _found(client: SqlClientBase[Any], names: Collection[str]) -> dict[str, str] | None:
    """Those of the tables and views `names` that the dataset has, with what they are: `VIEW` is a view.

    None where the destination does not list them as the SQL standard has it.
    """
    paths = {name: client.make_qualified_table_name_path(name, quote=False) for name in names}
    tables = "information_schema.tables"
    if client.capabilities.sqlglot_dialect == "bigquery":  # each dataset has its own there
        tables = f"{client.fully_qualified_dataset_name()}.INFORMATION_SCHEMA.TABLES"
    listed = f"select table_name, table_type from {tables} where table_schema = %s"  # noqa: S608  our own names
    try:
        rows = client.execute_sql(listed, next(iter(paths.values()))[-2])
    except DltException:
        return None
    if not rows:
        return None  # dlt's own tables are always there
    kinds: dict[str, str] = dict(rows)  # type: ignore[arg-type]
    return {name: kinds[path[-1]] for name, path in paths.items() if path[-1] in kinds}


def _absent_tables(client: SqlClientBase[Any], found: Collection[str] | None) -> tuple[TableName, ...]:
    """Those of the tables that are loaded where they are wanted which are not there.

    The destination says it: what dlt knows of them is what this pipeline loaded, and another may have loaded more.
    """
    return tuple(
        table for table in MORE_TABLES if (table not in found if found is not None else not _is_there(client, table))
    )


def _run(client: SqlClientBase[Any], statements: dict[str, str]) -> dict[str, str]:
    failed: dict[str, str] = {}
    for name, statement in statements.items():
        try:
            client.execute_sql(statement)
        except DltException as error:
            failed[name] = shorten(str(error), REASON_LENGTH)
        except Exception as error:  # a connection is lost: drivers, and dlt, raise what they like then
            reason = next(iter(failed.values()), shorten(str(error), REASON_LENGTH))
            raise LoadError(f"the tables are as loaded, but the views could not be created: {reason}") from error
    return failed


def _missing_tables(client: SqlClientBase[Any]) -> tuple[str, ...]:
    """The tables that views read and that are not there, without those that are loaded where they are wanted."""
    read = {table for view in view_names() for table in read_by(view)}
    return tuple(table for table in KEYS if table in read - {*MORE_TABLES} and not _is_there(client, table))


def _is_there(client: SqlClientBase[Any], table: str) -> bool:
    counted = f"select count(*) from {client.make_qualified_table_name(table)} where 1 = 0"  # noqa: S608  our own
    try:
        return client.execute_sql(counted) is not None  # BigQuery's emulator raises nothing
    except DestinationUndefinedEntity:
        return False
    except DltException:
        return True  # but may not be read, as the views' own reasons say


def _statements(
    client: SqlClientBase[Any],
    kept: Path,
    now: datetime | None,
    absent: Collection[TableName],
    thresholds: Thresholds,
) -> dict[str, Any]:
    """`statements`: view to the one that creates it, in their order; `are_made`: whether they were all carried out.

    To translate them takes longer than a small load: they are kept in dlt's working directory until anything differs.
    """
    dialect = client.capabilities.sqlglot_dialect or "duckdb"
    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.iterdir()) if path.is_file()]
    where = client.make_qualified_table_name(KEPT)
    empty = " ".join(f"{table}: {stand_in(table).sql()}" for table in absent)
    words = f"{dialect} {where} {sqlglot_version} {now} {empty} {thresholds}"
    made_of = blake2b(b"\0".join([*sources, words.encode()])).hexdigest()
    with suppress(OSError, ValueError, KeyError):
        found = json.loads(kept.read_bytes())
        if found["made_of"] == made_of:
            return {name: found[name] for name in ("made_of", "statements", "are_made")}

    def qualify(name: str) -> exp.Table:
        path = client.make_qualified_table_name_path(name, quote=False)
        catalog, dataset, table = [""] * (3 - len(path)) + path
        return exp.table_(table, db=dataset, catalog=catalog, quoted=True)

    statements = {name: view_sql(name, dialect, qualify, now, absent, thresholds=thresholds) for name in view_names()}
    return {"made_of": made_of, "statements": statements, "are_made": False}


def _keep(kept: Path, made: dict[str, Any]) -> None:
    with suppress(OSError):
        kept.write_text(json.dumps(made))


def drop_views(client: SqlClientBase[Any]) -> None:
    """Drops every view that is there, each before those that it reads.

    Those of an earlier version may read others: what PostgreSQL keeps for one of them is tried again without it.
    """
    names = list(reversed(view_names()))
    while names:
        kept = {}
        for name in names:
            try:
                client.execute_sql(f"drop view if exists {client.make_qualified_table_name(name)}")
            except DltException as error:
                kept[name] = error
        if len(kept) == len(names):
            raise kept[names[0]]
        names = list(kept)
