"""A view or table as Arrow: each column of the type that its name promises, whatever the driver gave."""

from __future__ import annotations

import re
from contextlib import suppress

import pyarrow as pa

from ..api.money import MONEY_DIGITS, MONEY_PLACES
from ..money import UNKNOWN

CATEGORIES = (
    "bucket|capability|capability_set|change_type|country_code|currency|current_status|environment_key|finding"
    "|outcome|party_country_code|resource|status|type"
)
MONEY = (
    "cash|cost_at_stake|cost_per_answered_call|cost_per_minute|current_price|saving"
    "|(added|closing|monthly|monthly_renewal|opening|previous_monthly|removed|repriced)_cost"
)
BY_NAME: tuple[tuple[str, pa.DataType], ...] = (
    (r"phone_numbers", pa.string()),  # the list of an agent
    (r"\w+_at|valid_from|valid_to", pa.timestamp("us", "UTC")),
    (r"complete_from|complete_until|first_day|last_day|month|next_month|renewal_date|\w+_on", pa.timestamp("s")),
    (r"auto_renewal|on_agent|on_number|\w+_complete|(is|has)_\w+", pa.bool_()),
    (r"approval_rate|median_days|(mean|share)_\w+", pa.float64()),
    (r"age_days|agent_count|api_total|days_\w+|lead_time_days|listed|overdue|p90_days|without_\w+", pa.int64()),
    (r"numbers|numbers_\w+|\w+_numbers|requests|requests_\w+|\w+_(added|changed|listed|removed|total)", pa.int64()),
    (r"answered|callers|calls|calls_(in|out|unknown_direction)|hour_of_day|test_calls|windows", pa.int64()),
    (r"minutes", pa.decimal128(MONEY_DIGITS, MONEY_PLACES)),
)
"""Types that a column's name promises, whatever the driver gave and however few values there are."""


def typed(table: pa.Table) -> pa.Table:
    """With those types. Names of few values are dictionaries, in which null is "unknown"; what is only null is text."""
    return pa.table([_typed(name, table[name]) for name in table.column_names], names=table.column_names)


def _typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if re.fullmatch(CATEGORIES, name):
        return column.cast(pa.string()).fill_null(UNKNOWN).dictionary_encode()
    for names, promised in BY_NAME:
        if re.fullmatch(names, name):
            return column.cast(promised)
    if re.fullmatch(MONEY, name) or pa.types.is_decimal(column.type):
        return _money(column)
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    return column.cast(pa.int64()) if pa.types.is_integer(column.type) else column


def _money(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In the digits of the tables, which leave room for sums and products; of 38 digits Arrow adds none to another."""
    for digits in (MONEY_DIGITS, 38):
        with suppress(pa.ArrowInvalid):
            return column.cast(pa.decimal128(digits, MONEY_PLACES))
    return column
