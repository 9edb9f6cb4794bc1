"""Views and tables as pandas data frames or Arrow tables: the configured destination, opened read-only.

from talkover import read_view

read_view("monthly_cost")                                    # talkover_pipeline.duckdb, or what dlt is configured for
read_view("monthly_cost", pipeline_name="talkover_demo")     # the demo account
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.utils import set_working_dir

from ..api.unknown import as_json
from ..errors import ConfigurationError, NothingLoaded
from ..load.connection import connect
from ..load.failures import translate_errors
from ..load.pipeline import PIPELINE, Place, open_pipeline, what_to_run
from ..load.settings import defaults
from ..sync.settings import configured_create_views
from ..sync.tables import KEYS, MORE_RESOURCES
from ..views import view_names
from .columns import typed

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 100_000


def read_view(
    name: str,
    *,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    environment: str | None = None,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
) -> pd.DataFrame:
    """A view or table, as it is described in docs/tables-and-views.md, as a pandas data frame.

    Money is exact: `decimal128(18, 4)` of Arrow, whose sums are `Decimal`. Names of few values are categories, in which
    null is "unknown". Instants are UTC, days are timestamps without a zone, counts, truths and texts are pandas'
    nullable types. Arguments and errors are those of `read_arrow`; ConfigurationError also where pandas is missing.
    """
    try:
        from .frame import to_frame  # noqa: PLC0415  pandas belongs to the extra `notebooks`
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is missing. Run: pip install 'talkover[notebooks]'") from None
    return to_frame(
        read_arrow(
            name,
            columns=columns,
            where=where,
            environment=environment,
            destination=destination,
            dataset=dataset,
            pipeline_name=pipeline_name,
        )
    )


def read_arrow(
    name: str,
    *,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    environment: str | None = None,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
) -> pa.Table:
    """The same as an Arrow table, for all who do without pandas.

    Args:
        name: of a view or table.
        columns: those to read; all unless given.
        where: column to value: rows that have all of these values, chosen by the destination. None is null.
        environment: short for `where={"environment_key": …}`.
        destination, dataset, pipeline_name: as for `load_account`.

    Raises:
        NothingLoaded: the destination has no such view yet.
        ConfigurationError: there is not a view or table of that name, or it has no such column.
        LoadError: the destination does not answer, or a load holds DuckDB's file just now.
    """
    if name not in (*view_names(), *KEYS):
        raise ConfigurationError(
            f"{name!r} is not a view or table. There are {', '.join(sorted((*view_names(), *KEYS)))}"
        )
    wanted = dict(where or {}) | ({} if environment is None else {"environment_key": environment})
    with _project_folder(), translate_errors(), defaults:
        place = Place.of(open_pipeline(destination, dataset, pipeline_name))
        if place.is_missing:
            raise NothingLoaded(f"there is no {place.file} yet: {what_to_run(pipeline_name)}")
        try:
            table = _select(place, name, [columns] if isinstance(columns, str) else columns, wanted)
        except DestinationUndefinedEntity:
            holds_no = f"{place.shown} holds no {name} in dataset {place.pipeline.dataset_name!r}"
            resource = next((more for more, tables in MORE_RESOURCES.items() if name in tables), None)
            loads_it = f"`talkover load --with {resource}` loads it" if resource else what_to_run(pipeline_name)
            if name in view_names() and not configured_create_views():
                loads_it = "create_views is off, so build the models of dbt there, or run `talkover views`"
            raise NothingLoaded(f"{holds_no} yet: {loads_it}") from None
    return typed(table)


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


def _select(place: Place, name: str, columns: Sequence[str] | None, where: Mapping[str, Any]) -> pa.Table:
    with connect(place, read_only=True) as client:
        source = f"from {client.make_qualified_table_name(name)}"
        if columns or where:
            with client.execute_query(f"select * {source} where 1 = 0") as cursor:
                _refuse_unknown({*(columns or ()), *where}, name, [column.lower() for column in cursor.columns_schema])
        chosen = ", ".join(map(client.escape_column_name, columns or ())) or "*"
        tests = [
            f"{client.escape_column_name(column)} {'is null' if value is None else '= %s'}"
            for column, value in where.items()
        ]
        query = f"select {chosen} {source}"
        query += f" where {' and '.join(tests)}" if tests else ""
        values = [value for value in where.values() if value is not None]
        with client.execute_query(query, *values) as cursor:
            names = list(cursor.columns_schema)
            if client.capabilities.sqlglot_dialect == "duckdb":
                batches = list(cursor.iter_arrow(BATCH_ROWS))
                table = pa.concat_tables(batches) if batches else pa.table([_column(())] * len(names), names=names)
            else:
                found = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
                table = pa.table([_column(column) for column in found], names=names)
    # dlt names columns in capitals where the destination takes names without quotes for such: on Snowflake
    is_in_capitals = client.capabilities.casefold_identifier is str.upper
    return table.rename_columns([column.lower() for column in names]) if is_in_capitals else table


def _refuse_unknown(asked: Collection[str], name: str, there: Sequence[str]) -> None:
    if unknown := sorted(set(asked).difference(there)):
        raise ConfigurationError(f"{name} has no column {', '.join(unknown)}. There are {', '.join(there)}")


def _column(values: Sequence[Any]) -> pa.Array:
    """A column of the rows of a driver. psycopg2 has parsed JSON, which is text to all others."""
    if any(isinstance(value, (dict, list)) for value in values):
        values = [None if value is None else as_json(value) for value in values]
    return pa.array(values)
