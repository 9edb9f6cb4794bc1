"""Arrow tables as pandas data frames, each column of the type that its name promises."""

from __future__ import annotations

import re
from contextlib import suppress

import pandas as pd
import pyarrow as pa

from ..api.money import MONEY_DIGITS, MONEY_PLACES
from ..money import NOT_TOLD

CATEGORIES = (
    "bucket|capability|capability_set|change_type|country_code|currency|current_status|environment_key|finding|kind"
    "|outcome|resource|status|type"
)
MONEY = "cash|cost|cost_at_stake|current_price|(added|closing|monthly|monthly_renewal|opening|removed|repriced)_cost"
BY_NAME: tuple[tuple[str, pa.DataType], ...] = (
    (r"\w+_at|valid_from|valid_to", pa.timestamp("us", "UTC")),
    (r"month|next_month|renewal_date|\w+_on", pa.timestamp("s")),
    (r"auto_renewal|\w+_complete|(is|has)_\w+", pa.bool_()),
    (r"approval_rate|median_days|(mean|share)_\w+", pa.float64()),
)
"""Types that a column's name promises, whatever the driver gave and however few values there are."""
PANDAS_TYPES = {pa.string(): pd.StringDtype("pyarrow"), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table with the types of `read_view`."""
    columns = [_typed(name, table[name]) for name in table.column_names]
    frame = pa.table(columns, names=table.column_names).to_pandas(types_mapper=_pandas_type)
    for name in frame.select_dtypes("category"):
        names = pd.Index(sorted(frame[name].cat.categories), dtype="string")
        frame[name] = frame[name].cat.set_categories(names)
    return frame


def _typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if re.fullmatch(CATEGORIES, name):
        return column.cast(pa.string()).fill_null(NOT_TOLD).dictionary_encode()
    for names, promised in BY_NAME:
        if re.fullmatch(names, name):
            return column.cast(promised)
    if re.fullmatch(MONEY, name) or pa.types.is_decimal(column.type):
        return _money(column)
    return column.cast(pa.int64()) if pa.types.is_integer(column.type) else column


def _money(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In the digits of the tables, which leave room for sums and products; of 38 digits Arrow adds none to another."""
    for digits in (MONEY_DIGITS, 38):
        with suppress(pa.ArrowInvalid):
            return column.cast(pa.decimal128(digits, MONEY_PLACES))
    return column


def _pandas_type(arrow: pa.DataType) -> object:
    """A type of pandas that knows nulls and holds money exactly; None for what pandas does well by itself."""
    if pa.types.is_decimal(arrow):
        return pd.ArrowDtype(arrow)
    return PANDAS_TYPES.get(arrow)
