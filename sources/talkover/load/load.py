"""A whole load, as a schedule needs it: lock, what was left pending, listing, load with retries, views, summary.

    Talkover API → talkover_source → dlt pipeline → destination → calls, window by window → views → Summary

Running it again is always safe: what is there is read from the destination, and only differences are sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationTerminalException, DestinationUndefinedEntity
from dlt.common.runtime.collector_base import Collector
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import retry_load
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from .. import views
from ..dlt_internals import load_one_table_at_a_time, make_missing_tables
from ..errors import CallsError, NothingLoaded, RunInProgress, TalkoverError, ViewError
from ..sync.held import last_runs
from ..sync.others import Others
from ..sync.settings import configured_create_views
from ..sync.source import talkover_source
from ..sync.tables import CHANGE_LOGS, MORE_RESOURCES
from ..views import Views
from ..views.thresholds import Thresholds
from .connection import connect
from .failures import causes_of, first_line, translate_errors
from .lock import WAIT_SECONDS, dataset_lock, pipeline_lock
from .pipeline import PIPELINE, Place, open_pipeline, what_to_run
from .remembered import (
    forget_another_destination,
    forget_old_loads,
    forget_torn_schemas,
    notes_of_history_elsewhere,
    remember_load,
)
from .settings import defaults
from .summary import Summary, left_behind, read_summary

LOAD_ATTEMPTS = 3
CALL_TABLES = MORE_RESOURCES["calls"]
LITTLE_MEMORY = "4MiB"
"""Of DuckDB, between two windows of calls."""

log = logging.getLogger("talkover")


def load_account(
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
    wait_seconds: float = WAIT_SECONDS,
    create_views: bool | None = None,
    **source_arguments: Any,
) -> Summary:
    """Loads every phone number and release request, and returns what changed.

    Args:
        destination: a destination of dlt, by name or made by its factory; what dlt is configured to use, else duckdb.
        dataset: the schema that the tables are in; what dlt is configured to use, else `talkover`.
        pipeline_name: names dlt's working directory, and the DuckDB file where none is configured.
        progress: a collector of dlt.
        wait_seconds: how long another load of this pipeline or dataset is waited for.
        create_views: creates the views after the tables are loaded; as configured, else True.
        source_arguments: see `talkover_source`.

    Raises:
        RunInProgress: another load was still at work after the wait, or finished while this one was at work.
        CallsError: all else is loaded, and calls up to some day.
        ViewError: the data is loaded, but a view could not be created.
        TalkoverError: nothing is lost; the next run starts from what the destination holds.
    """
    started = time.monotonic()
    with translate_errors(), pipeline_lock(pipeline_name, wait_seconds), defaults:
        source = talkover_source(**source_arguments)
        are_views_wanted = configured_create_views() if create_views is None else create_views
        thresholds = views.configured_thresholds()
        pipeline = open_pipeline(destination, dataset, pipeline_name, progress)
        place = Place.of(pipeline)
        with dataset_lock(place, wait_seconds), _kept_open(place) as kept:
            notes = settle(place)
            for note in (elsewhere := notes_of_history_elsewhere(place)):
                log.warning(note)
            are_calls_wanted = not source.selected_resources.keys().isdisjoint(CALL_TABLES)
            load_id = _run_alone(place, source.with_resources(*source.selected_resources.keys() - set(CALL_TABLES)))
            remember_load(place)
            call_loads, failure = _load_calls(place, kept, source_arguments) if are_calls_wanted else (None, None)
            forget_old_loads(pipeline)
            with connect(place) as client:
                made = _create_views(client, pipeline, thresholds) if are_views_wanted else Views()
                notes += [*elsewhere, *made.notes, *_of_others(client, load_id)]
                seconds = time.monotonic() - started
                summary = read_summary(client, place, load_id, call_loads, notes=notes, seconds=seconds)
    if failure:
        raise CallsError(failure, summary) from failure
    if made.failed:
        raise ViewError(made.failed, summary)
    return summary


def settle(place: Place) -> list[str]:
    """Finishes what an earlier run left in dlt's working directory, or forgets what is of no use; returns notes."""
    forget_torn_schemas(place.pipeline)
    forget_another_destination(place)
    if place.dialect == "duckdb":  # concurrent tables are no faster, and take a third more memory
        load_one_table_at_a_time(place.pipeline)
    return _finish_pending(place.pipeline)


def _load_calls(place: Place, kept: Any, source_arguments: dict[str, Any]) -> tuple[list[str], TalkoverError | None]:
    """Loads calls window by window, each before the next is fetched: memory does not grow with history, and what was
    loaded stays. Returns the ids of the loads, and what they ended in where that was no good end.

    `kept` is the connection to the file of DuckDB; None elsewhere.
    """
    most: int | None = source_arguments.get("calls_most_windows")
    arguments = source_arguments | {"calls": True, "calls_most_windows": 1}
    arguments["observed_at"] = source_arguments.get("observed_at") or datetime.now(timezone.utc)
    loads: list[str] = []
    try:
        with translate_errors():
            source = talkover_source(**arguments).with_resources(*CALL_TABLES)
            while (most is None or len(loads) < most) and (load_id := _run_alone(place, source)):
                loads.append(load_id)
                if kept:
                    _write_out(kept)
    except TalkoverError as error:
        return loads, error
    return loads, None


def _write_out(client: Any) -> None:
    """DuckDB would keep in memory all that it has read and written until its file is closed.

    What is freed goes back to the system from the threshold on, 128 MiB unless it is set. The vacuum of a checkpoint
    reads whole tables again: of the first window alone, since without any each table would take a block more a load.
    """
    ((limit,),) = client.execute_sql("select current_setting('memory_limit')")
    for statement in (
        f"set global allocator_flush_threshold = '{LITTLE_MEMORY}'",
        "checkpoint",
        f"set global memory_limit = '{LITTLE_MEMORY}'",
        f"set global memory_limit = '{limit}'",
        "set global max_vacuum_tasks = 0",
    ):
        client.execute_sql(statement)


def _of_others(client: Any, load_id: str) -> list[str]:
    """A note for each environment in the tables that was not part of this load."""
    runs = last_runs(client)
    return [left_behind(key, last) for key, last in runs.items() if last.load_id != load_id and not last.is_retired]


def _create_views(client: Any, pipeline: dlt.Pipeline, thresholds: Thresholds) -> Views:
    return views.create_views(client, Path(pipeline.working_dir), again=False, thresholds=thresholds)


def create_views_alone(destination: Any = None, dataset: str | None = None, pipeline_name: str = PIPELINE) -> Views:
    """Creates the views over tables that are there already. Raises NothingLoaded where the dataset is not."""
    with translate_errors(), pipeline_lock(pipeline_name, WAIT_SECONDS), defaults:
        thresholds = views.configured_thresholds()
        place = Place.of(open_pipeline(destination, dataset, pipeline_name))
        refuse_nothing(place)
        with dataset_lock(place, WAIT_SECONDS), connect(place) as client:
            return views.create_views(client, Path(place.pipeline.working_dir), thresholds=thresholds)


def refuse_nothing(place: Place) -> None:
    """Raises NothingLoaded where the dataset is not there."""
    if not is_loaded(place):
        what = what_to_run(place.pipeline.pipeline_name)
        raise NothingLoaded(f"dataset {place.pipeline.dataset_name!r} does not exist yet: {what}")


def is_loaded(place: Place) -> bool:
    """Whether the dataset is there."""
    if place.is_missing:
        return False
    with connect(place) as client:
        return bool(client.has_dataset())


def _kept_open(place: Place) -> AbstractContextManager[Any]:
    """DuckDB opens a file, and writes it out, once for all that is done meanwhile instead of once for each step."""
    return connect(place) if place.file else nullcontext()


def _finish_pending(pipeline: dlt.Pipeline) -> list[str]:
    """Loads what a killed run left behind, or drops it where it cannot be loaded: the next listing holds it anyway."""
    if not pipeline.has_pending_data:
        return []
    pipeline.sync_destination()  # which drops it where the dataset is gone
    if not pipeline.has_pending_data:
        return []
    log.warning("finishing what an earlier run left pending")
    try:
        _run(pipeline)
    except PipelineStepFailed as error:
        is_terminal = any(isinstance(cause, DestinationTerminalException) for cause in causes_of(error))
        if error.step != "normalize" and not is_terminal:
            raise
        log.warning("it cannot be loaded and is dropped: %s", first_line(causes_of(error)[-1]))
        pipeline.drop()
        return ["dropped what an earlier run left pending: it could not be loaded"]
    return ["finished what an earlier run left pending"]


def _run_alone(place: Place, source: DltSource) -> str:
    """`_run`, after which nothing stands twice: raises RunInProgress where another load finished meanwhile.

    The source looks for one before the load step. One that came into that step is seen by the load that is done last,
    which takes back what it logged.
    """
    others = Others(lambda: connect(place), source.schema)
    load_id = _run(place.pipeline, source)
    if load_id and (done := others.done(own=load_id)):
        with connect(place) as client:
            _take_back(client, load_id, done)
        raise RunInProgress(
            f"{next(iter(done.values()))} was loaded into dataset {place.dataset!r} at the same time: what this one "
            "logged was taken back. Run it again"
        )
    return load_id


def _take_back(client: Any, load_id: str, others: Collection[str]) -> None:
    """The next run finds and logs again what differs. Windows of calls it also reads again where others loaded them:
    dlt's staging tables belong to all loads of the dataset, so calls of either may be missing.
    """
    for table in (*CHANGE_LOGS, "load_runs", "call_windows"):
        loads = [load_id, *others] if table == "call_windows" else [load_id]
        name, of_row = client.make_qualified_table_name(table), client.escape_column_name("_dlt_load_id")
        which = ", ".join(["%s"] * len(loads))
        with suppress(DestinationUndefinedEntity):
            client.execute_sql(f"delete from {name} where {of_row} in ({which})", *loads)  # noqa: S608  our own names


def _run(pipeline: dlt.Pipeline, source: DltSource | None = None) -> str:
    """Runs `source`, or what is pending, and tries the load step again where that may help: it never lists twice.

    Returns the id of the load package that came last, none where nothing was extracted.
    """
    to_extract = source
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: retry_load()(error) or _is_missing_table(error)),
        stop=stop_after_attempt(LOAD_ATTEMPTS),
        wait=wait_exponential(max=30),
        reraise=True,
    ):
        with attempt:
            try:
                info = pipeline.run(to_extract)
            except PipelineStepFailed as error:
                to_extract = None
                if _is_missing_table(error):
                    make_missing_tables(pipeline)
                raise
    return info.loads_ids[-1] if info and info.loads_ids else ""


def _is_missing_table(error: BaseException) -> bool:
    """A table was dropped by hand, and dlt goes by what it remembers."""
    return any(isinstance(cause, DestinationUndefinedEntity) for cause in causes_of(error))
