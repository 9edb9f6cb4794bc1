"""Arrow tables as pandas data frames."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

PANDAS_TYPES = {pa.string(): pd.StringDtype("pyarrow"), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table with the types of `read_view`."""
    frame = table.to_pandas(types_mapper=_pandas_type)
    for name in frame.select_dtypes("category"):
        names = pd.Index(sorted(frame[name].cat.categories), dtype="string")
        frame[name] = frame[name].cat.set_categories(names)
    return frame


def _pandas_type(arrow: pa.DataType) -> object:
    """A type of pandas that knows nulls and holds money exactly; None for what pandas does well by itself."""
    if pa.types.is_decimal(arrow):
        return pd.ArrowDtype(arrow)
    return PANDAS_TYPES.get(arrow)
