"""What the tables must hold, in plain Python: each table follows from what it held before and from the account."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb

from talkover.api.fields import COUNTDOWNS, PHONE_NUMBER, RELEASE_REQUEST
from talkover.sandbox import Account

from .conftest import TABLES, Row, plain

MONEY = ("current_price", "monthly_renewal_cost")
INSTANTS = ("created_at", "updated_at", "requested_at", "resolved_at")
TOUCHES = {*COUNTDOWNS, "updated_at"}

Table = dict[Any, Row]
"""Rows by key."""


def number_row(number: Row) -> Row:
    row = {name: number.get(name) for name in PHONE_NUMBER.columns if not name.startswith("environment__")}
    environment = number.get("environment") or {}
    row |= {f"environment__{name}": environment.get(name) for name in ("id", "name")}
    if row["agents"] is not None:
        row["agents"] = sorted(row["agents"], key=lambda agent: agent["id"])
    return _typed(row)


def request_row(request: Row) -> Row:
    return _typed({name: request.get(name) for name in RELEASE_REQUEST.columns})


def _typed(row: Row) -> Row:
    for name in MONEY:
        if row.get(name) is not None:
            row[name] = Decimal(str(row[name])).quantize(Decimal("0.0001"))
    for name in INSTANTS:
        if row.get(name) is not None:
            row[name] = datetime.fromisoformat(row[name].replace("Z", "+00:00"))
    if row.get("renewal_date") is not None:
        row["renewal_date"] = date.fromisoformat(row["renewal_date"])
    return row | {"environment_key": "default"}


def agent_rows(number: Row) -> Table:
    return {
        (number["id"], agent["id"]): {
            "phone_number_id": number["id"],
            "agent_id": agent["id"],
            "agent_name": agent["name"],
            "environment_key": "default",
        }
        for agent in number.get("agents") or []
    }


@dataclass
class Model:
    """The tables after a series of loads. `load` is a run that succeeds."""

    tables: dict[str, Table] = field(default_factory=lambda: {table: {} for table in TABLES})

    def load(
        self, account: Account, at: datetime, selected: tuple[str, ...] = TABLES, type: str | None = None
    ) -> Model:
        """`selected` tables after a run dated `at` that asks for numbers of `type` alone, or for all: a new model."""
        after = Model(deepcopy(self.tables))
        listed = {id: n for id, n in account.numbers.items() if type in (None, n["type"])}
        numbers = {id: number_row(number) for id, number in listed.items()}
        requests = {id: request_row(request) for id, request in account.requests.items()}
        agents = {key: row for number in listed.values() for key, row in agent_rows(number).items()}
        sees_all = type is None
        held = {
            "phone_numbers": {} if sees_all else self.tables["phone_numbers"],
            "phone_number_agents": {
                key: row
                for key, row in self.tables["phone_number_agents"].items()
                if not sees_all and key[0] not in listed
            },
        }
        current = {
            "phone_numbers": held["phone_numbers"] | numbers,
            "phone_number_agents": held["phone_number_agents"] | agents,
            "release_requests": self.tables["release_requests"] | requests,
        }
        for table in selected:
            if table == "phone_number_changes":
                after._log(table, numbers, at, removes=sees_all)
            elif table == "release_request_changes":
                after._log(table, requests, at, removes=False)
            else:
                after.tables[table] = current[table]
        return after

    def held(self, table: str) -> Table:
        """The latest version of what the change log `table` says is held."""
        latest = {id: row for (id, _), row in sorted(self.tables[table].items(), key=lambda item: item[0][1])}
        return {id: row for id, row in latest.items() if row["change_type"] != "removed"}

    def is_guarded(self, account: Account, selected: tuple[str, ...] = TABLES) -> bool:
        """Whether a run would have to be refused, because it would remove too much."""
        for table in ("phone_numbers", "phone_number_agents", "phone_number_changes"):
            if table not in selected:
                continue
            held = self.held(table) if table.endswith("changes") else self.tables[table]
            known = {key[0] if isinstance(key, tuple) else key for key in held}
            lost = len(known - account.numbers.keys())
            if lost and (not account.numbers or (len(known) >= 10 and lost > len(known) / 2)):
                return True
            if lost == len(known) > 1 and table != "phone_number_agents":
                return True
        return False

    def _log(self, table: str, seen: Table, at: datetime, removes: bool) -> None:
        held, log = self.held(table), self.tables[table]
        for id, row in seen.items():
            steady = {name: value for name, value in row.items() if name not in COUNTDOWNS}
            before = held.get(id)
            if before is None or any(before[name] != value for name, value in steady.items() if name not in TOUCHES):
                log[id, at] = steady | {"change_type": "changed" if before else "added", "changed_at": at}
        for id in held.keys() - seen.keys() if removes else ():
            log[id, at] = held[id] | {"change_type": "removed", "changed_at": at}


def tables_in(file: str = "talkover_pipeline.duckdb", dataset: str = "talkover") -> dict[str, Table]:
    """What a DuckDB file holds, by the same keys as the model, without the connector's own marks."""
    with duckdb.connect(file, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        there = {row[0] for row in connection.execute("select table_name from information_schema.tables").fetchall()}
        return {table: _rows(connection, f"{dataset}.{table}") if table in there else {} for table in TABLES}


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> Table:
    result = connection.execute(f"from {table}")
    names = [column[0] for column in result.description or []]
    return keyed(table, [dict(zip(names, map(plain, values), strict=True)) for values in result.fetchall()])


def keyed(table: str, rows: list[Row]) -> Table:
    """Rows by the model's keys, without the connector's own marks."""
    made: Table = {}
    for row in rows:
        for name in [name for name in row if name.startswith("_") or name == "row_fingerprint"]:
            del row[name]
        key: Any = (row["phone_number_id"], row["agent_id"]) if "agent_id" in row else row["id"]
        key = (key, row["changed_at"]) if "changed_at" in row else key
        assert key not in made, f"{table} holds {key} twice"
        made[key] = row
    return made
