"""The month bridge against a ledger kept in plain Python, over random histories that are played through real loads."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import dlt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover import talkover_source
from talkover.sandbox import Account, Sandbox
from talkover.views import create_views

from .conftest import TODAY, Row

START = datetime(2025, 12, 20, 12, tzinfo=timezone.utc)
IDS = ("a", "b", "c", "d")
PRICES = (None, "0.10", "0.20", "1.15", "33.3333")
CURRENCIES = (None, "USD", "EUR")

State = dict[str, tuple[str | None, str | None]]
"""Id to currency and cost."""


@dataclass
class Ledger:
    """What a bookkeeper would write down: by month and currency."""

    found: dict[Any, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    added: dict[Any, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    removed: dict[Any, list[Decimal]] = field(default_factory=lambda: defaultdict(list))
    repriced: dict[Any, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    held: State | None = None

    def see(self, day: date, inventory: State) -> None:
        """What the first look finds was there before: it is no change."""
        month, held = day.replace(day=1), self.held or {}
        new = self.found if self.held is None else self.added
        for id in held.keys() | inventory.keys():
            before, after = held.get(id), inventory.get(id)
            if before and after and before[0] == after[0]:
                self.repriced[month, after[0]] += Decimal(after[1] or 0) - Decimal(before[1] or 0)
                continue
            if before:
                self.removed[month, before[0]].append(Decimal(before[1] or 0))
            if after:
                new[month, after[0]].append(Decimal(after[1] or 0))
        self.held = dict(inventory)

    def rows(self, until: date) -> dict[Any, Row]:
        """The bridge of each month up to `until`, for every currency that was ever held."""
        bridges: dict[Any, Row] = {}
        currencies = {currency for _, currency in (*self.found, *self.added, *self.removed, *self.repriced)}
        for currency in currencies:
            numbers, cost, month = 0, Decimal(0), START.date().replace(day=1)
            while month <= until:
                added, removed = self.added[month, currency], self.removed[month, currency]
                repriced = self.repriced[month, currency]
                numbers += len(self.found[month, currency])
                cost += sum(self.found[month, currency])
                row = {"opening_numbers": numbers, "opening_cost": cost}
                numbers += len(added) - len(removed)
                cost += sum(added) - sum(removed) + repriced
                bridges[month, currency] = row | {
                    "added_numbers": len(added),
                    "added_cost": sum(added),
                    "removed_numbers": len(removed),
                    "removed_cost": sum(removed),
                    "repriced_cost": repriced,
                    "closing_numbers": numbers,
                    "closing_cost": cost,
                }
                month = (month + timedelta(days=32)).replace(day=1)
        return bridges


inventories = st.dictionaries(st.sampled_from(IDS), st.tuples(st.sampled_from(CURRENCIES), st.sampled_from(PRICES)))
histories = st.lists(st.tuples(st.integers(min_value=1, max_value=45), inventories), min_size=1, max_size=5)


@pytest.mark.slow
@pytest.mark.product
def test_the_bridge_balances_to_the_cent_over_any_history(request: pytest.FixtureRequest, workspace: Path) -> None:
    play = given(history=histories)(assert_that_the_bridge_balances)
    settings(max_examples=request.config.getoption("--histories"), deadline=None, derandomize=True)(play)()


def assert_that_the_bridge_balances(history: list[tuple[int, State]]) -> None:
    account, ledger, instant = Account(size=0, founded=TODAY), Ledger(), START
    pipeline = dlt.pipeline(f"bridge_{uuid4().hex}", destination="duckdb", dataset_name="talkover")
    with Sandbox(account) as sandbox:
        for days, inventory in history:
            instant += timedelta(days=days)
            account.numbers = {
                id: {"id": id, "currency": currency, "monthly_renewal_cost": cost}
                for id, (currency, cost) in inventory.items()
            }
            source = talkover_source(
                sandbox.token, base_url=sandbox.base_url, observed_at=instant, allow_mass_removal=True
            )
            pipeline.run(source, loader_file_format="parquet")
            ledger.see(instant.date(), inventory)
    with pipeline.sql_client() as client:
        assert create_views(client, Path(pipeline.working_dir)).failed == {}
    columns = ["month", "currency", *COLUMNS]
    with pipeline.sql_client() as client:
        found = client.execute_sql(f"select {', '.join(columns)} from monthly_cost") or []
        held = client.execute_sql("select currency, count(*), sum(monthly_renewal_cost) from phone_numbers group by 1")
    bridges = {(row[0], row[1]): dict(zip(COLUMNS, row[2:], strict=True)) for row in found}
    now = datetime.now(timezone.utc).date()
    first_month = (START + timedelta(days=history[0][0])).date().replace(day=1)
    assert bridges == {key: row for key, row in ledger.rows(now).items() if key[0] >= first_month}
    for currency, numbers, cost in held or []:
        last = bridges[now.replace(day=1), currency]
        assert (last["closing_numbers"], last["closing_cost"]) == (numbers, cost or 0)


COLUMNS = (
    "opening_numbers",
    "opening_cost",
    "added_numbers",
    "added_cost",
    "removed_numbers",
    "removed_cost",
    "repriced_cost",
    "closing_numbers",
    "closing_cost",
)
