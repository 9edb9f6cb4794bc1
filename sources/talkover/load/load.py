"""A whole load, as a schedule needs it: lock, what was left pending, listing, load with retries, views, summary.

    Talkover API → talkover_source → dlt pipeline → destination → views → Summary

Running it again is always safe: the destination tells what is there, and only differences are sent.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import dlt
import tomlkit
from dlt.common import logger
from dlt.common.configuration import known_sections, resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.providers.toml import TomlProviderReadException
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.destination.exceptions import (
    DestinationTerminalException,
    DestinationUndefinedEntity,
    UnknownDestinationModule,
)
from dlt.common.exceptions import DltException
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.runtime.collector import NULL_COLLECTOR
from dlt.common.runtime.collector_base import Collector
from dlt.extract import DltSource
from dlt.pipeline.configuration import PipelineConfiguration
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.helpers import retry_load
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from tomlkit.exceptions import ParseError, TOMLKitError

from .. import __version__, views
from ..errors import ConfigurationError, LoadError, NothingLoaded, TalkoverError, ViewError
from ..sync.arrow import is_news, send_arrow
from ..sync.destinations import refuse_unfit
from ..sync.memory import IN_UTC, in_utc
from ..sync.source import talkover_source
from ..sync.tables import LEDGER_RESOURCES
from ..views import Views
from .lock import WAIT_SECONDS, file_lock, postgres_lock

PIPELINE = "talkover_pipeline"
DEMO_PIPELINE = "talkover_demo"
"""The made-up account: always in a DuckDB file of its own, unless another destination is named."""
DATASET = "talkover"
RARE_COLLECTIONS = (50_000, 20, 100)
LOAD_ATTEMPTS = 3
LOCATION = "talkover_destination"
"""Where dlt's local state keeps what destination it belongs to."""

READ_ONLY = {
    "postgres": f"set transaction read only; {IN_UTC}",
    "mysql": "set transaction read only",
}
"""What such a transaction begins with, by dialect. DuckDB's file is opened so; else the role must lack the rights."""

DEFAULTS_NAME = "defaults of talkover"
DEFAULTS = {
    "runtime": {"log_level": "CRITICAL"},
    "data_writer": {"disable_compression": True},
    "normalize": {"data_writer": {"disable_compression": True}},
    "destination": {"postgres": {"credentials": {"password": ""}}},
}
"""Settings of dlt where nobody set them. Its errors are raised, so it need not log them too; intermediate files live
for seconds, and packing them costs a third of a load. dlt insists on a password for PostgreSQL; of an empty one libpq
thinks as of none, and looks into PGPASSWORD and .pgpass as psql does."""

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class Counts:
    """What became of a resource. `unchanged` includes rows in which only a countdown or `updated_at` moved."""

    listed: int
    added: int
    changed: int
    removed: int
    unchanged: int
    complete: bool


@dataclass(frozen=True)
class RunRate:
    """What the numbers of an environment cost a month, in one currency; None for a currency that was not told."""

    environment_key: str
    currency: str | None
    numbers: int
    monthly_cost: Decimal | None


@dataclass(frozen=True)
class Summary:
    """What a load did, read back from the tables.

    A resource that was not asked is None. `requests_a_minute` are the most within 60 seconds of any environment: the
    API's plans are limited so, a token.
    """

    run_id: str
    observed_at: datetime
    destination: str
    dataset: str
    resources: dict[str, Counts | None]
    run_rate: list[RunRate]
    requests: int
    requests_a_minute: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    connector_version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the instant in ISO 8601, money as text, so that it stays exact."""
        rates = [
            asdict(rate) | {"monthly_cost": None if rate.monthly_cost is None else f"{rate.monthly_cost:f}"}
            for rate in self.run_rate
        ]
        return asdict(self) | {"observed_at": self.observed_at.isoformat(), "run_rate": rates}


def load_account(
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
    is_alone: bool = False,
    wait_seconds: float = WAIT_SECONDS,
    create_views: bool = True,
    **source_arguments: Any,
) -> Summary:
    """Loads every phone number and release request, and tells what changed.

    Args:
        destination: a destination of dlt, by name or made by its factory; what dlt is configured to use, else duckdb.
        dataset: the schema that the tables are in; what dlt is configured to use, else `talkover`.
        pipeline_name: names dlt's working directory, and the DuckDB file where none is configured.
        progress: a collector of dlt.
        is_alone: this process does nothing else, so that DuckDB can be kept from importing pandas.
        wait_seconds: how long another load of this pipeline or dataset is waited for.
        create_views: creates the views after the tables are loaded.
        source_arguments: see `talkover_source`.

    Raises:
        RunInProgress: another load was still at work after the wait.
        ViewError: the data is loaded, but a view could not be created.
        TalkoverError: nothing is lost; the next run starts from what the destination holds.
    """
    started = time.monotonic()
    with plain_errors(), _pipeline_lock(pipeline_name, wait_seconds), defaults, rare_collections:
        source = talkover_source(**source_arguments)
        pipeline = open_pipeline(destination, dataset, pipeline_name, progress)
        with (
            _without_pandas() if is_alone and duckdb_file(pipeline) else nullcontext(),
            _dataset_lock(pipeline, wait_seconds),
            _kept_open(pipeline),
        ):
            _forget_torn_schemas(pipeline)
            _forget_other_destination(pipeline)
            _suit_duckdb(pipeline, source)
            notes = _finish_pending(pipeline)
            load_id = _run(pipeline, source)
            made = _create_views(pipeline) if create_views else Views()
            summary = _summary(pipeline, load_id, notes + made.notes, time.monotonic() - started)
    if made.failed:
        raise ViewError(made.failed, summary)
    return summary


def create_views_alone(destination: Any = None, dataset: str | None = None, pipeline_name: str = PIPELINE) -> Views:
    """Creates the views over tables that are there already. Raises NothingLoaded where the dataset is not."""
    with plain_errors(), _pipeline_lock(pipeline_name, WAIT_SECONDS), defaults:
        pipeline = open_pipeline(destination, dataset, pipeline_name)
        if not _is_loaded(pipeline):
            raise NothingLoaded(f"dataset {pipeline.dataset_name!r} is not there yet: {what_to_run(pipeline)}")
        with _dataset_lock(pipeline, WAIT_SECONDS):
            return _create_views(pipeline)


def _create_views(pipeline: dlt.Pipeline) -> Views:
    with connect(pipeline) as client:
        return views.create_views(client, Path(pipeline.working_dir))


class _OfTheProcess:
    """A change to the whole process: made by the first thread that enters, undone by the last one that leaves."""

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._made = self._change()
                self._made.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._made.__exit__(None, None, None)


@_OfTheProcess
@contextmanager
def defaults() -> Iterator[None]:
    """DEFAULTS stand behind every other place that dlt reads settings from, and its log holds only what `is_news`."""
    providers = Container()[PluggableRunContext].providers.providers
    provider = CustomLoaderDocProvider(DEFAULTS_NAME, lambda: DEFAULTS, True, [])
    with ExitStack() as undo:
        undo.callback(_read_settings_again)
        providers.append(provider)
        undo.callback(providers.remove, provider)
        _read_settings_again()
        logger.LOGGER.addFilter(is_news)
        undo.callback(logger.LOGGER.removeFilter, is_news)
        yield


def _read_settings_again() -> None:
    with _settings_that_cannot_be():
        context = dlt.current.run_context()
        context.reset_config()
        context.initialize_runtime()


@contextmanager
def _settings_that_cannot_be() -> Iterator[None]:
    """dlt ends in an error of Python's own where a section is a value, or a level of its log is none."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"dlt's configuration: {_first_line(error)}") from error


def open_pipeline(
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
) -> dlt.Pipeline:
    """The pipeline, not connected yet. Raises ConfigurationError for a destination that cannot work."""
    configured = resolve_configuration(
        PipelineConfiguration(pipeline_name=pipeline_name), sections=(known_sections.PIPELINES, pipeline_name)
    )
    if pipeline_name == DEMO_PIPELINE:
        # Never into the real file or warehouse, wherever that is configured to be.
        destination, dataset = destination or "duckdb", dataset or DATASET
        if destination == "duckdb":
            destination = dlt.destinations.duckdb(str(Path.cwd() / f"{DEMO_PIPELINE}.duckdb"))
    destination = destination or configured.destination_type or "duckdb"
    dataset = dataset or configured.dataset_name or DATASET
    if not isinstance(dataset, str) or not dataset.strip():
        raise ConfigurationError(f"{dataset!r} is no name of a dataset")
    pipeline = dlt.pipeline(
        pipeline_name, destination=destination, dataset_name=dataset, progress=progress or NULL_COLLECTOR
    )
    refuse_unfit(pipeline)
    if pipeline.destination.config_params.get("local_dir") == pipeline.get_local_state_val("initial_cwd"):
        # dlt keeps the folder of a pipeline's first run: from another one it would go on filling the file in the first.
        pipeline.destination.config_params["local_dir"] = str(Path.cwd())
    file = duckdb_file(pipeline)
    client: Any = pipeline.destination_client()
    if file is not None and file.name.split(".")[0].lower() == client.sql_client.dataset_name.lower():
        raise ConfigurationError(
            f"DuckDB cannot keep dataset {dataset!r} in a file of the same name ({file.name}): SQL could not tell them "
            "apart. Name the file otherwise, or give another --dataset"
        )
    return pipeline


@lru_cache(maxsize=1)  # dlt resolves its configuration for each answer
def duckdb_file(pipeline: dlt.Pipeline) -> Path | None:
    """The file of a DuckDB destination; None for any other, and for a connection that dlt was given."""
    if pipeline.destination.destination_type != "dlt.destinations.duckdb":
        return None
    credentials: Any = pipeline.destination_client().config.credentials
    return None if credentials.database == ":external:" else Path(credentials.database)


@contextmanager
def connect(pipeline: dlt.Pipeline, *, read_only: bool = False) -> Iterator[Any]:
    """A SQL client of the destination. Raises LoadError where it does not answer: drivers raise what they like."""
    client: Any = pipeline.sql_client()
    if duckdb_file(pipeline):
        client.credentials.read_only = read_only
    try:
        client.open_connection()
    except Exception as error:
        raise LoadError(_why_unreachable(pipeline, error)) from error
    try:
        if read_only and (statements := READ_ONLY.get(client.capabilities.sqlglot_dialect)):
            # not the session: it may be a pooler's, and the next one's who writes
            with client.begin_transaction():
                client.execute_sql(statements)
                yield client
        else:
            yield client
    except AttributeError as error:
        if client.native_connection is not None:
            raise
        # dlt rolls back a connection that it has lost, too
        raise LoadError(_why_unreachable(pipeline, error.__context__ or error)) from error
    finally:
        client.close_connection()


def what_to_run(pipeline: dlt.Pipeline) -> str:
    """What a person who finds nothing in the destination does first."""
    if pipeline.pipeline_name == DEMO_PIPELINE:
        return "run `talkover load --demo` first"
    return "run `talkover load` first. Without an account, `talkover load --demo` and `talkover report --demo` show one"


def _is_loaded(pipeline: dlt.Pipeline) -> bool:
    """Whether the dataset is there. A file of DuckDB that is not is not made by asking."""
    file = duckdb_file(pipeline)
    if file is not None and not file.exists():
        return False
    with connect(pipeline) as client:
        return bool(client.has_dataset())


def _why_unreachable(pipeline: dlt.Pipeline, error: BaseException) -> str:
    reason = _first_line(getattr(error, "inner_exc", None) or error)
    if "Could not set lock on file" in reason:
        holder = re.search(r"held in (.+ \(PID \d+\))", reason)
        return (
            f"{duckdb_file(pipeline)} is open in another process{f', {holder[1]}' if holder else ''}. DuckDB lets one "
            "process write or several read. Close it there and run this again; PostgreSQL allows both at once"
        )
    return f"{pipeline.destination.destination_name} does not answer: {reason}"


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextmanager
def _without_pandas() -> Iterator[None]:
    """With the first value of a statement DuckDB imports pandas, to see whether the value is pandas' own kind of null.

    That takes as long as a third of a small load. Nobody else in this process must need pandas: hence `is_alone`.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _kept_open(pipeline: dlt.Pipeline) -> AbstractContextManager[Any]:
    """DuckDB opens a file, and writes it out, once for all the steps of a run instead of once for each."""
    return connect(pipeline) if duckdb_file(pipeline) else nullcontext()


@_OfTheProcess
@contextmanager
def rare_collections() -> Iterator[None]:
    """Python looks for cycles in all that a large run holds, again and again: a third of its time, for next to none."""
    before = gc.get_threshold()
    gc.set_threshold(*RARE_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _pipeline_lock(pipeline_name: str, wait_seconds: float) -> AbstractContextManager[None]:
    """One load at a time a pipeline: its working directory holds what one run extracted."""
    return file_lock(pipeline_name, f"pipeline {pipeline_name!r}", wait_seconds)


@contextmanager
def _dataset_lock(pipeline: dlt.Pipeline, wait_seconds: float) -> Iterator[None]:
    """One load at a time a dataset, whatever its pipeline is called: on this host, and for PostgreSQL on every host."""
    client: Any = pipeline.destination_client()
    dataset = client.sql_client.dataset_name
    what = f"dataset {dataset!r} of {_destination_shown(pipeline)}"
    location = blake2b(f"{client.config.data_location()} {dataset}".encode(), digest_size=8).hexdigest()
    with ExitStack() as held:
        held.enter_context(file_lock(f"dataset-{location}", what, wait_seconds))
        if client.capabilities.sqlglot_dialect == "postgres":
            connection = held.enter_context(connect(pipeline))
            held.enter_context(postgres_lock(connection, what, wait_seconds))
        yield


def _destination_shown(pipeline: dlt.Pipeline) -> str:
    return str(duckdb_file(pipeline) or pipeline.destination.destination_name)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Unwraps the errors of this package from dlt's, and makes one line of every other that a run can end in."""
    try:
        with _settings_that_cannot_be():
            dlt.current.run_context()  # when it is first asked for, dlt reads its settings
        yield
    except DltException as error:
        causes = _causes(error)
        for cause in causes:
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            if isinstance(cause, TalkoverError):
                raise cause from error
            if isinstance(cause, ConfigFieldMissingException):
                raise ConfigurationError(f"dlt's configuration: {_missing_fields(cause)}") from error
            if isinstance(cause, TomlProviderReadException):
                raise ConfigurationError(_why_unreadable(cause)) from error
            if isinstance(cause, ConfigurationException):
                raise ConfigurationError(f"dlt's configuration: {_first_line(cause)}") from error
            if isinstance(cause, UnknownDestinationModule):
                instead = "Take duckdb, postgres or another one of docs/destinations.md"
                raise ConfigurationError(f"{cause.ref!r} is no destination that dlt knows. {instead}") from error
        step = f"the {error.step} step failed: " if isinstance(error, PipelineStepFailed) else ""
        raise LoadError(step + _first_line(causes[-1]) + _where(causes[-1])) from error
    except OSError as error:
        file = f": {error.filename}" if error.filename else ""
        raise LoadError(f"{error.strerror or error}{file}{_where(error)}") from error


def _why_unreadable(error: TomlProviderReadException) -> str:
    """dlt names every place where such a file may be: which one it is, and where in it, is found out here."""
    for path in filter(os.path.isfile, error.full_paths):
        try:
            text = Path(path).read_text(encoding="utf-8")
            if text.startswith("\ufeff"):
                return f"{path} begins with a byte order mark: save it as UTF-8 without one"
            tomlkit.parse(text)
        except UnicodeDecodeError:
            return f"{path} is not in UTF-8: save it so"
        except ParseError as cause:
            return f"{path}, line {cause.line}: a quotation mark or a bracket is missing, or it is no TOML ({cause})"
        except TOMLKitError as cause:
            return f"{path}: {cause}"
        except OSError as cause:
            return f"{path} cannot be read: {cause.strerror}"
    return f"{error.file_name} cannot be read: {error}"


def _forget_torn_schemas(pipeline: dlt.Pipeline) -> None:
    """A full disk leaves files in dlt's working directory that it takes for schemas, and cannot read ever after."""
    if not all(map(pipeline.schemas.has_schema, pipeline.schemas.list_schemas())):
        log.info("the working directory of %s holds a schema that is not whole: made anew", pipeline.pipeline_name)
        pipeline.drop()


def _forget_other_destination(pipeline: dlt.Pipeline) -> None:
    """What dlt's working directory holds for another file, server or dataset must not be loaded into this one."""
    config = pipeline.destination_client().config
    # The first is what an engine can reach, of BigQuery a region alone; the second what dlt shows of the credentials.
    location = f"{config.data_location()} {config} {pipeline.dataset_name}"
    try:
        before = pipeline.get_local_state_val(LOCATION)
    except KeyError:
        before = location
    if before != location:
        log.info("the working directory of %s is another destination's: made anew", pipeline.pipeline_name)
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
        is_terminal = any(isinstance(cause, DestinationTerminalException) for cause in _causes(error))
        if error.step != "normalize" and not is_terminal:
            raise
        log.warning("it cannot be loaded and is dropped: %s", _first_line(_causes(error)[-1]))
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
                    with pipeline.destination_client() as client:
                        client.update_stored_schema(force=True)
                raise
    return info.loads_ids[-1] if info else ""


def _suit_duckdb(pipeline: dlt.Pipeline, source: DltSource) -> None:
    """DuckDB gets Arrow tables as Parquet, one table after the other.

    dlt prefers INSERT statements for it, which take seven times as long, and works on each row. Not JSON lines: dlt
    lets DuckDB guess their types, and a text that looks like a time or a UUID is rewritten as one. Tables side by side
    are no faster, and take a third more memory.
    """
    capabilities = pipeline.destination.capabilities()
    if capabilities.sqlglot_dialect == "duckdb":
        pipeline.destination.caps_params.setdefault("loader_parallelism_strategy", "sequential")
        send_arrow(source, capabilities)


def _is_missing_table(error: BaseException) -> bool:
    """A table was dropped by hand, and dlt goes by what it remembers."""
    return any(isinstance(cause, DestinationUndefinedEntity) for cause in _causes(error))


def _summary(pipeline: dlt.Pipeline, load_id: str, notes: list[str], seconds: float) -> Summary:
    figures = ("listed", "added", "changed", "removed", "complete")
    columns = [f"{resource}_{figure}" for resource in LEDGER_RESOURCES for figure in figures]
    listed = ", ".join(["run_id", "observed_at", "requests_made", "requests_a_minute", *columns])
    with connect(pipeline) as client:
        numbers, load_runs = map(client.make_qualified_table_name, ("phone_numbers", "load_runs"))
        this_load = f"from {load_runs} where _dlt_load_id = %s"
        runs = [tuple(run) for run in client.execute_sql(f"select {listed} {this_load}", load_id)]
        rates = client.execute_sql(
            f"select environment_key, currency, count(*), sum(monthly_renewal_cost) from {numbers} "  # noqa: S608  our own
            f"where environment_key in (select environment_key {this_load}) "
            "group by environment_key, currency order by environment_key, currency",
            load_id,
        )
    return Summary(
        run_id=runs[0][0],
        observed_at=in_utc(runs[0][1]),
        destination=_destination_shown(pipeline),
        dataset=pipeline.dataset_name,
        resources={
            resource: _counts([run[4 + len(figures) * position :][: len(figures)] for run in runs])
            for position, resource in enumerate(LEDGER_RESOURCES)
        },
        run_rate=[RunRate(*rate) for rate in rates],
        requests=sum(run[2] for run in runs),
        requests_a_minute=max(run[3] for run in runs),
        seconds=round(seconds, 2),
        notes=notes,
    )


def _counts(figures: list[tuple[int, int, int, int, bool]]) -> Counts | None:
    """The figures of all environments together; None for a resource that was not asked in any."""
    figures = [row for row in figures if row[0] is not None]
    if not figures:
        return None
    listed, added, changed, removed = (sum(column) for column in list(zip(*figures, strict=True))[:4])
    return Counts(listed, added, changed, removed, listed - added - changed, all(row[4] for row in figures))


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and what it was raised from, innermost last."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return causes


def _where(error: BaseException) -> str:
    """What an error of a file does not tell: the only files that a run writes by itself are dlt's."""
    folder = get_dlt_pipelines_dir()
    if isinstance(error, PermissionError) and str(error.filename).startswith(folder):
        return f". dlt's files in {folder} are another user's: set DLT_DATA_DIR to a folder of your own"
    is_of_a_write = re.search(
        rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG}|{errno.EIO})\] [^:]*$", str(error)
    )
    return f": while writing below {folder}" if is_of_a_write else ""


def _missing_fields(error: ConfigFieldMissingException) -> str:
    """dlt's lines about a configuration and those within it; between them it tells where it looked for each field."""
    return "; ".join(line.strip() for line in str(error).splitlines() if "field(s)" in line)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
