"""An emulator of Snowflake (fakesnow: Snowflake's SQL on DuckDB, its wire by HTTP), made to take what dlt sends.

`python snowflake_server.py PORT` serves it, in an environment of its own, since it wants another DuckDB than dlt. What
is patched are faults of the emulator, one a function: Snowflake itself takes all of that as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import fakesnow.arrow
import fakesnow.copy_into
import fakesnow.cursor
import fakesnow.info_schema
import fakesnow.server
import fakesnow.transforms
import pyarrow as pa
import sqlglot
import uvicorn
from fakesnow.copy_into import CopyParams, ReadJSON
from fakesnow.cursor import FakeSnowflakeCursor
from sqlglot import exp

execute = FakeSnowflakeCursor.execute
inserts = fakesnow.copy_into._inserts
parse_one = fakesnow.server.parse_one
timestamp_to_sf_struct = fakesnow.arrow.timestamp_to_sf_struct


def parse_as_dlt_writes(command: str) -> Any:
    """To it a stage in quotes, commas between options, and a mode in quotes are wrong."""
    if command.startswith("PUT "):
        command = re.sub(r" '(@.*?)' OVERWRITE = TRUE, ", r" \1 OVERWRITE = TRUE ", command)
    if command.startswith("COPY INTO "):
        command = re.sub(r"FILE_FORMAT = \(.*\)", lambda options: options[0].replace(",", ""), command)
        command = re.sub(r"MATCH_BY_COLUMN_NAME='(\w+)'", r"MATCH_BY_COLUMN_NAME=\1", command)
    return parse_one(command)


def execute_each(cursor: Any, command: str, *args: Any, **more: Any) -> Any:
    """Of several statements it carries out the first alone."""
    for statement in split(command):
        execute(cursor, statement, *args, **more)
    return cursor


def split(command: str) -> Iterator[str]:
    begins = 0
    for token in sqlglot.tokenize(command, read="snowflake"):
        if token.token_type is sqlglot.TokenType.SEMICOLON:
            yield command[begins : token.start]
            begins = token.end + 1
    if command[begins:].strip():
        yield command[begins:]


def insert_json_by_name(copy: exp.Copy, options: CopyParams, files: list[str], *more: Any) -> list[Any]:
    """It puts each line of JSON into one column, whatever MATCH_BY_COLUMN_NAME says."""
    if not isinstance(options.file_format, ReadJSON):
        return inserts(copy, options, files, *more)
    return [exp.Insert(this=copy.this, expression=texts_of(file), by_name=True) for file in files]


def texts_of(file: str) -> exp.Expression:
    """The fields of lines of JSON as text, which DuckDB casts to the types of the columns that it is inserted into."""
    read = f"select * from read_json('{file}', format = 'newline_delimited'"
    with duckdb.connect() as connection:
        found = connection.sql(f"{read}, sample_size = -1)").columns
    names = found if Path(file).stat().st_size else ["_dlt_load_id"]  # an empty file; each table has it
    columns = ", ".join(f"'{name}': 'varchar'" for name in names)
    return sqlglot.parse_one(f"{read}, columns = {{{columns}}})", read="duckdb")


def instants_or_null(instants: pa.Array | pa.ChunkedArray) -> pa.Array:
    """It reads null back as 1970."""
    made = timestamp_to_sf_struct(instants)
    nulls = instants.combine_chunks().is_null() if isinstance(instants, pa.ChunkedArray) else instants.is_null()
    return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=nulls)


def with_views(creating: Template) -> Template:
    """It lists tables alone in information_schema.tables, where Snowflake has views, too."""
    columns = "database_name, schema_name, {name} as table_name, {rows} as estimated_size, '{kind}' as kind"
    tables = columns.format(name="table_name", rows="estimated_size", kind="BASE TABLE")
    views = columns.format(name="view_name", rows="0", kind="VIEW")
    listed = f"(select {tables} from duckdb_tables() union all select {views} from duckdb_views()) tables"
    text = creating.template.replace("from duckdb_tables tables", f"from {listed}")
    return Template(text.replace("'BASE TABLE' AS", "tables.kind AS"))


def leave_numbers(expression: Any) -> Any:
    """It sums decimals as floats."""
    return expression


fakesnow.server.parse_one = fakesnow.cursor.parse_one = parse_as_dlt_writes
FakeSnowflakeCursor.execute = execute_each
fakesnow.copy_into._inserts = insert_json_by_name
fakesnow.arrow.timestamp_to_sf_struct = instants_or_null
fakesnow.info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW = with_views(
    fakesnow.info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW
)
fakesnow.transforms.numeric_agg_implicit_cast = leave_numbers
fakesnow.server.shared_fs.create_schema_on_connect = False  # it would make every dataset that one looks for

if __name__ == "__main__":
    uvicorn.run(fakesnow.server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
