"""A whole load, as a schedule needs it: lock, what was left pending, listing, load with retries, views, summary.

    Talkover API → talkover_source → dlt pipeline → destination → views → Summary

Running it again is always safe: what is there is read from the destination, and only differences are sent.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
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
from ..errors import NothingLoaded, ViewError
from ..sync.source import talkover_source
from ..views import Views
from .connection import connect
from .failures import causes_of, first_line, translate_errors
from .lock import WAIT_SECONDS, dataset_lock, pipeline_lock
from .pipeline import PIPELINE, Place, open_pipeline, what_to_run
from .settings import defaults
from .summary import Summary, read_summary

LOAD_ATTEMPTS = 3
LOCATION = "talkover_destination"
"""Where dlt's local state keeps what destination it belongs to."""

log = logging.getLogger("talkover")


def load_account(
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
    wait_seconds: float = WAIT_SECONDS,
    create_views: bool = True,
    **source_arguments: Any,
) -> Summary:
    """Loads every phone number and release request, and returns what changed.

    Args:
        destination: a destination of dlt, by name or made by its factory; what dlt is configured to use, else duckdb.
        dataset: the schema that the tables are in; what dlt is configured to use, else `talkover`.
        pipeline_name: names dlt's working directory, and the DuckDB file where none is configured.
        progress: a collector of dlt.
        wait_seconds: how long another load of this pipeline or dataset is waited for.
        create_views: creates the views after the tables are loaded.
        source_arguments: see `talkover_source`.

    Raises:
        RunInProgress: another load was still at work after the wait.
        ViewError: the data is loaded, but a view could not be created.
        TalkoverError: nothing is lost; the next run starts from what the destination holds.
    """
    started = time.monotonic()
    with translate_errors(), pipeline_lock(pipeline_name, wait_seconds), defaults:
        source = talkover_source(**source_arguments)
        pipeline = open_pipeline(destination, dataset, pipeline_name, progress)
        place = Place.of(pipeline)
        with dataset_lock(place, wait_seconds), _kept_open(place):
            _forget_torn_schemas(pipeline)
            _forget_other_destination(place)
            if place.dialect == "duckdb":  # concurrent tables are no faster, and take a third more memory
                load_one_table_at_a_time(pipeline)
            notes = _finish_pending(pipeline)
            load_id = _run(pipeline, source)
            with connect(place) as client:
                made = _create_views(client, pipeline) if create_views else Views()
                summary = read_summary(client, place, load_id, notes + made.notes, time.monotonic() - started)
    if made.failed:
        raise ViewError(made.failed, summary)
    return summary


def _create_views(client: Any, pipeline: dlt.Pipeline) -> Views:
    return views.create_views(client, Path(pipeline.working_dir), again=False)


def create_views_alone(destination: Any = None, dataset: str | None = None, pipeline_name: str = PIPELINE) -> Views:
    """Creates the views over tables that are there already. Raises NothingLoaded where the dataset is not."""
    with translate_errors(), pipeline_lock(pipeline_name, WAIT_SECONDS), defaults:
        place = Place.of(open_pipeline(destination, dataset, pipeline_name))
        if not _is_loaded(place):
            raise NothingLoaded(
                f"dataset {place.pipeline.dataset_name!r} does not exist yet: {what_to_run(pipeline_name)}"
            )
        with dataset_lock(place, WAIT_SECONDS), connect(place) as client:
            return views.create_views(client, Path(place.pipeline.working_dir))


def _is_loaded(place: Place) -> bool:
    """Whether the dataset is there."""
    if place.is_missing:
        return False
    with connect(place) as client:
        return bool(client.has_dataset())


def _kept_open(place: Place) -> AbstractContextManager[Any]:
    """DuckDB opens a file, and writes it out, once for all the steps of a run instead of once for each."""
    return connect(place) if place.file else nullcontext()


def _forget_torn_schemas(pipeline: dlt.Pipeline) -> None:
    """A full disk leaves files in dlt's working directory that it takes for schemas, and cannot read ever after."""
    if not all(map(pipeline.schemas.has_schema, pipeline.schemas.list_schemas())):
        log.info("the working directory of %s holds an incomplete schema: recreated", pipeline.pipeline_name)
        pipeline.drop()


def _forget_other_destination(place: Place) -> None:
    """What dlt's working directory holds for another file, server or dataset must not be loaded into this one."""
    pipeline = place.pipeline
    # The first is what an engine can reach, of BigQuery a region alone; the second what dlt shows of the credentials.
    location = f"{place.location} {place.config} {pipeline.dataset_name}"
    try:
        before = pipeline.get_local_state_val(LOCATION)
    except KeyError:
        before = location
    if before != location:
        log.info("the working directory of %s belongs to another destination: recreated", pipeline.pipeline_name)
        pipeline.drop()
    pipeline.set_local_state_val(LOCATION, location)


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


def _run(pipeline: dlt.Pipeline, source: DltSource | None = None) -> str:
    """Runs `source`, or what is pending, and tries the load step again where that may help: it never lists twice.

    Returns the id of the load package that came last.
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
    return info.loads_ids[-1] if info else ""


def _is_missing_table(error: BaseException) -> bool:
    """A table was dropped by hand, and dlt goes by what it remembers."""
    return any(isinstance(cause, DestinationUndefinedEntity) for cause in causes_of(error))
