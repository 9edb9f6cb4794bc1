"""`talkover copy`: all tables, with their history, into another destination, and the proof that both hold the same.

    source → Arrow batches → dlt pipeline → target → a digest of each table on both sides → views

The copy is one load package, so a target in which no load was completed holds a copy that was killed, or nothing: it is
filled anew. In any other target nothing is written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.runtime.collector_base import Collector
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource, DltSource

from .. import views
from ..dlt_internals import load_one_table_at_a_time
from ..errors import ConfigurationError, LoadError, NothingLoaded, ViewError
from ..sync.database import Database
from ..sync.destinations import refuse_unfit_values
from ..sync.sending import Writing, objects
from ..sync.settings import configured_create_views
from ..sync.tables import KEYS, TableName, hints, partitioned
from ..views import Views
from ..views.thresholds import Thresholds
from .connection import connect
from .contents import SCHEMA, DataTypes, Digest, digest, held_tables, is_loaded, read_table
from .failures import translate_errors
from .lock import WAIT_SECONDS, dataset_lock, pipeline_lock
from .pipeline import PIPELINE, Place, open_pipeline, what_to_run
from .settings import Defaults, defaults

FOLDER = ".talkover_copies"
"""Below dlt's own folder of working directories: a copy leaves that of the pipeline as it is."""

MEMORY = "128MiB"
"""Of DuckDB, for what it has read of a file: it would keep all of it."""

ADVICE = "Nothing was copied. Correct it in that table, or copy into another destination"
"""About a value that the target cannot hold."""

one_resource_at_a_time = Defaults("defaults of a copy of talkover", {"extract": {"next_item_mode": "fifo"}})
"""Else all tables would be read at once, each over a connection of its own."""


@dataclass(frozen=True)
class Copy:
    """What is the same in both: `tables` is table to its rows. `was_there` says that nothing had to be written."""

    source: str
    destination: str
    dataset: str
    tables: Mapping[TableName, int]
    was_there: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def copy_account(
    to: Any,
    to_dataset: str | None = None,
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> Copy:
    """Copies all tables into the destination `to`, compares both, and creates the views there.

    `to_dataset` is called like the dataset that is copied unless it is given; the other arguments are those of
    `load_account`. Run again, it finishes a copy that was killed, and of one that was finished says so.

    Raises:
        ConfigurationError: both are the same place, or the target holds another history. Nothing is written then.
        NothingLoaded: there is nothing to copy.
        RunInProgress: a load of either was still at work after the wait.
        LoadError: a table is not the same in both.
        ViewError: the copy is right, but a view could not be created.
    """
    with translate_errors(), pipeline_lock(pipeline_name, wait_seconds), defaults, one_resource_at_a_time:
        thresholds = views.configured_thresholds()
        source = Place.of(open_pipeline(destination, dataset, pipeline_name))
        with _target(to, to_dataset or source.pipeline.dataset_name, pipeline_name, progress) as target:
            _refuse_same(source, target)
            with dataset_lock(source, wait_seconds), dataset_lock(target, wait_seconds):
                tables = _held(source, pipeline_name)
                was_there = _is_loaded(target)
                if not was_there:
                    target.pipeline.run(_source(source, tables, target))
                rows = _compare(source, target, tables, was_there=was_there)
                failed = _create_views(target, thresholds).failed if configured_create_views() else {}
    if failed:
        raise ViewError(failed)
    return Copy(_shown(source), target.shown, target.pipeline.dataset_name, rows, was_there)


def _create_views(target: Place, thresholds: Thresholds) -> Views:
    with connect(target) as client:
        return views.create_views(client, Path(target.pipeline.working_dir), thresholds=thresholds)


@contextmanager
def _target(to: Any, dataset: str, pipeline_name: str, progress: Collector | None) -> Iterator[Place]:
    """Where `to` is: for the pipeline, which goes on there, but in a working directory of the copy's own."""
    folder = Path(get_dlt_pipelines_dir()) / FOLDER
    shutil.rmtree(folder / pipeline_name, ignore_errors=True)  # of a copy that was killed
    try:
        place = Place.of(open_pipeline(to, dataset, pipeline_name, progress, folder=str(folder)))
        if place.dialect == "duckdb":
            load_one_table_at_a_time(place.pipeline)
        yield place
    finally:
        shutil.rmtree(folder / pipeline_name, ignore_errors=True)


def _refuse_same(source: Place, target: Place) -> None:
    if (source.location, source.config, source.dataset) == (target.location, target.config, target.dataset):
        raise ConfigurationError(
            f"{_shown(source)}, would be copied into itself. Give another destination with --to or --to-dataset, or, "
            "where that is configured to load already, the one to copy from with --destination"
        )


def _held(source: Place, pipeline_name: str) -> dict[TableName, DataTypes]:
    if not source.is_missing:
        with _reading(source) as client:
            if tables := held_tables(client):
                return tables
    raise NothingLoaded(f"{_shown(source)}, holds nothing to copy: {what_to_run(pipeline_name)}")


def _is_loaded(target: Place) -> bool:
    if target.is_missing:
        return False
    with connect(target) as client:
        return is_loaded(client)


def _source(source: Place, tables: Mapping[TableName, DataTypes], target: Place) -> DltSource:
    """The tables as a source of dlt: keys, types and descriptions are those of a load."""
    writing = Writing.into(target.pipeline)

    @dlt.source(name=SCHEMA, section=SCHEMA, max_table_nesting=0)
    def copied() -> Iterator[DltResource]:
        dlt.current.source_schema().remove_type_detection("iso_timestamp")
        for table, types in tables.items():
            yield _resource(source, target, table, types, writing)

    return copied()


def _resource(source: Place, target: Place, table: TableName, types: DataTypes, writing: Writing) -> DltResource:
    lists = [name for name, data_type in types.items() if data_type == "json"]

    def rows() -> Iterator[Any]:
        load_id, is_empty = dlt.current.load_package_state()["load_id"], True
        with _reading(source) as client:
            for batch in read_table(client, table, types):
                if "id" in types:  # what else is copied comes from rows that have one
                    refuse_unfit_values(target.pipeline, batch, f"{table} of {_shown(source)}", lists, ADVICE)
                made = writing.with_row_columns(batch, load_id)
                yield made if writing.arrow_format else objects(batch, lists)
                is_empty = False
                pa.default_memory_pool().release_unused()  # else what was freed would fill memory all the same
        if is_empty:
            yield dlt.mark.materialize_table_schema()

    made = hints(table) | {"write_disposition": "replace"}
    made["columns"] |= {name: _column(name, of_type) for name, of_type in types.items() if name not in made["columns"]}
    if writing.arrow_format:
        made["file_format"] = writing.arrow_format
    return partitioned(dlt.resource(rows, name=table, **made))


def _column(name: str, data_type: Any) -> TColumnSchema:
    return {"name": name, "data_type": data_type, "nullable": True}


def _compare(
    source: Place, target: Place, tables: Mapping[TableName, DataTypes], *, was_there: bool
) -> dict[TableName, int]:
    """The rows of each table, the same in both. Raises ConfigurationError or LoadError."""
    rows: dict[TableName, int] = {}
    database = Database()
    with _reading(source) as ours, _reading(target) as theirs:
        there = held_tables(theirs)
        for table in reversed(KEYS):  # the ledger, which is small, tells another history first
            types = tables.get(table, {})
            of_same_type = dict(types.items() & there.get(table, {}).items()) if types else there.get(table, {})
            expected = digest(ours, database, table, types) if table in tables else Digest(0, {})
            found = digest(theirs, database, table, of_same_type) if table in there else Digest(0, {})
            if differs := _difference(expected, found):
                raise _other_history(source, target, table, differs) if was_there else _unequal(target, table, differs)
            if table in tables:
                rows[table] = expected.rows
    return {table: rows[table] for table in KEYS if table in rows}


def _difference(expected: Digest, found: Digest) -> str:
    if expected.rows != found.rows:
        return f"{expected.rows:,} rows to copy, {found.rows:,} there"
    columns = [name for name, of_all in expected.sums.items() if found.sums.get(name) != of_all]
    return f"{', '.join(columns)} of {expected.rows:,} rows" if columns else ""


def _other_history(source: Place, target: Place, table: TableName, differs: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_shown(target)}, holds another history than {_shown(source)} already ({table}: {differs}). Nothing was "
        "written. Give another --to-dataset, or drop that dataset first"
    )


def _unequal(target: Place, table: TableName, differs: str) -> LoadError:
    return LoadError(
        f"the copy is not the same: {table} differs in {differs}. Drop dataset {target.pipeline.dataset_name} of "
        f"{target.shown}, and copy again"
    )


@contextmanager
def _reading(place: Place) -> Iterator[Any]:
    """DuckDB's file is opened read-only; a server keeps its transactions for the reading itself."""
    with connect(place, read_only=place.file is not None) as client:
        if place.file:
            client.execute_sql(f"set memory_limit = '{MEMORY}'")
        yield client


def _shown(place: Place) -> str:
    return f"{place.shown}, dataset {place.pipeline.dataset_name}"
