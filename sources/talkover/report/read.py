"""Views and tables as pandas data frames, for notebooks: the configured destination, opened read-only.

from talkover import read_view

read_view("monthly_cost")                                    # talkover_pipeline.duckdb, or what dlt is configured for
read_view("monthly_cost", pipeline_name="talkover_demo")     # the demo account
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pandas as pd
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.utils import set_working_dir

from ..errors import ConfigurationError, NothingLoaded
from ..load.connection import connect
from ..load.failures import plain_errors
from ..load.pipeline import PIPELINE, Place, open_pipeline, what_to_run
from ..load.settings import defaults
from ..money import NOT_TOLD
from ..sync.tables import KEYS
from ..views import view_names

BY_NAME: tuple[tuple[str, Callable[[pd.Series], pd.Series]], ...] = (
    (
        "bucket|capability|capability_set|change_type|country_code|currency|current_status|environment_key|finding|kind"
        "|outcome|resource|status|type",
        lambda column: column.astype("string").fillna(NOT_TOLD).astype("category"),
    ),
    # not pd.to_datetime: in pandas 2 that goes by nanoseconds, which end in the year 2262
    (r"\w+_at|valid_from|valid_to", lambda column: column.astype("datetime64[us, UTC]")),
    (r"month|next_month|renewal_date|\w+_on", lambda column: column.astype("datetime64[s]")),
    (r"auto_renewal|\w+_complete|(is|has)_\w+", lambda column: column.astype("boolean")),
    (r"approval_rate|median_days|(mean|share)_\w+", lambda column: column.astype("float64")),
)
"""Types that a column's name promises, whatever the driver gave and however few values there are."""
BY_VALUE = {bool: "boolean", int: "Int64", float: "float64", str: "string"}


def read_view(
    name: str,
    *,
    environment: str | None = None,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
) -> pd.DataFrame:
    """A view or table whole, as it is described in docs/tables-and-views.md.

    Money stays exact (`Decimal` in object columns). Names of few values are categories, in which null is "not told".
    Instants are UTC, days are timestamps without a zone, counts and truths are pandas' nullable types.

    Args:
        name: of a view or table.
        environment: its `environment_key`, to read one environment alone.
        destination, dataset, pipeline_name: as for `load_account`.

    Raises:
        NothingLoaded: the destination has no such view yet.
        ConfigurationError: there is no view or table of that name.
        LoadError: the destination does not answer, or a load holds DuckDB's file just now.
    """
    if name not in (*view_names(), *KEYS):
        raise ConfigurationError(f"{name!r} is no view or table. There are {', '.join(sorted((*view_names(), *KEYS)))}")
    with _project_folder(), plain_errors(), defaults:
        place = Place.of(open_pipeline(destination, dataset, pipeline_name))
        if place.is_missing:
            raise NothingLoaded(f"there is no {place.file} yet: {what_to_run(pipeline_name)}")
        try:
            names, rows = _select(place, name, environment)
        except DestinationUndefinedEntity:
            where = f"{place.shown} holds no {name} in dataset {place.pipeline.dataset_name!r}"
            raise NothingLoaded(f"{where} yet: {what_to_run(pipeline_name)}") from None
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    return frame.assign(**{column: _typed(frame[column]) for column in frame})


@contextmanager
def _project_folder() -> Iterator[None]:
    """dlt looks for its settings and files in the working directory, while Jupyter works in the notebook's folder."""
    here = Path.cwd()
    if here.name != "notebooks":
        yield
        return
    with set_working_dir(str(here.parent)):
        dlt.current.run_context().reload()
        yield


def _select(place: Place, name: str, environment: str | None) -> tuple[list[str], list[Any]]:
    with connect(place, read_only=True) as client:
        query = f"select * from {client.make_qualified_table_name(name)}"  # noqa: S608  one of our own names
        if environment is None:
            selected = client.execute_query(query)
        else:
            selected = client.execute_query(f"{query} where environment_key = %s", environment)
        with selected as cursor:
            names = list(cursor.columns_schema)
            rows = [tuple(row) for row in cursor.fetchall()]
    # dlt names columns in capitals where the destination takes names without quotes for such: on Snowflake
    is_in_capitals = client.capabilities.casefold_identifier is str.upper
    return [name.lower() for name in names] if is_in_capitals else names, rows


def _typed(column: pd.Series) -> pd.Series:
    for names, convert in BY_NAME:
        if re.fullmatch(names, str(column.name)):
            return convert(column)
    kinds = {type(value) for value in column if value is not None}
    return column.astype(BY_VALUE.get(kinds.pop(), "object")) if len(kinds) == 1 else column
