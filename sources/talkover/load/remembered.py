"""What dlt's working directory remembers of earlier runs, and when that is forgotten: all that a run needs is read from
the destination.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import dlt
import duckdb
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ..sync.database import identifier
from ..text import visible
from .connection import connect
from .pipeline import DEMO_PIPELINE, Place

LOCATION = "talkover_destination"
"""Where dlt's local state keeps what destination it belongs to."""
LOADED = "talkover_loaded"
"""Where it keeps which destination holds the pipeline's history."""
KEPT_LOADS = 10
"""Of which the working directory keeps the files."""

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class Elsewhere:
    """Another destination or dataset that holds history of this pipeline; `shown` is how people find it."""

    location: str
    shown: str
    destination: str
    dataset: str

    @classmethod
    def of(cls, place: Place) -> Elsewhere:
        pipeline = place.pipeline
        shown = f"{place.shown}, dataset {pipeline.dataset_name}"
        return cls(_location(place), shown, str(pipeline.destination.destination_name), pipeline.dataset_name)


def forget_torn_schemas(pipeline: dlt.Pipeline) -> None:
    """A full disk leaves files in dlt's working directory that it takes for schemas, and cannot read ever after."""
    if not all(map(pipeline.schemas.has_schema, pipeline.schemas.list_schemas())):
        log.info("the working directory of %s holds an incomplete schema: recreated", pipeline.pipeline_name)
        pipeline.drop()


def forget_another_destination(place: Place) -> None:
    """What dlt's working directory holds for another file, server or dataset must not be loaded into this one; nor what
    it holds for this one as it was before it was set back to a backup.
    """
    pipeline, location = place.pipeline, _location(place)
    loaded = _local(pipeline, LOADED)
    if _local(pipeline, LOCATION) not in (None, location):
        log.info("the working directory of %s belongs to another destination: recreated", pipeline.pipeline_name)
        pipeline.drop()
    elif _was_set_back(place):
        log.info(
            "%s lacks the last load of %s: its working directory is recreated", place.shown, pipeline.pipeline_name
        )
        pipeline.drop()
    pipeline.set_local_state_val(LOCATION, location)
    pipeline.set_local_state_val(LOADED, loaded)


def remember_load(place: Place) -> None:
    """To be called once a load was completed."""
    place.pipeline.set_local_state_val(LOADED, asdict(Elsewhere.of(place)))


def forget_old_loads(pipeline: dlt.Pipeline) -> None:
    """dlt keeps the files of every load for good, the rows that it sent and a schema of 100 KiB."""
    for load_id in sorted(pipeline.list_completed_load_packages())[:-KEPT_LOADS]:
        shutil.rmtree(pipeline.get_load_package_info(load_id).package_path, ignore_errors=True)


def notes_of_history_elsewhere(place: Place) -> list[str]:
    """The sentence that a load begins anew here while the history is in another place; none where it does not."""
    loaded = _local(place.pipeline, LOADED)
    elsewhere = Elsewhere(**loaded) if loaded else _in_default_file(place)
    here = Elsewhere.of(place)
    if elsewhere is None or elsewhere.location == here.location or _holds_history(place):
        return []
    note = (
        f"{here.shown}, holds nothing yet: this load begins anew there. The history until now is in {elsewhere.shown}, "
        f"and stays there. To bring it along, drop what this load makes and {_how_to_bring(elsewhere, here, place)}"
    )
    return [visible(note)]


def _how_to_bring(elsewhere: Elsewhere, here: Elsewhere, place: Place) -> str:
    if elsewhere.destination == here.destination and elsewhere.dataset == here.dataset:
        return "copy as docs/backup.md says"  # two places of one name: one of them needs another
    demo = " --demo" if place.pipeline.pipeline_name == DEMO_PIPELINE else ""
    datasets = (f" --dataset {quote(elsewhere.dataset)}", f" --to-dataset {quote(here.dataset)}")
    from_dataset, to_dataset = datasets if elsewhere.dataset != here.dataset else ("", "")
    source, target = f"--destination {elsewhere.destination}{from_dataset}", f"--to {here.destination}{to_dataset}"
    return f"run `talkover copy{demo} {source} {target}`"


def _in_default_file(place: Place) -> Elsewhere | None:
    """The file that this pipeline fills where no destination is configured, if it holds history: all that tells of an
    earlier destination once the working directory is lost.
    """
    pipeline = place.pipeline
    file = Path.cwd() / f"{pipeline.pipeline_name}.duckdb"
    if file == place.file or not file.exists():
        return None
    runs = f"select count(*) from {identifier(place.dataset)}.load_runs"  # noqa: S608  our own name
    with suppress(duckdb.Error), closing(duckdb.connect(str(file), read_only=True)) as connection:
        if connection.execute(runs).fetchall() != [(0,)]:
            return Elsewhere(str(file), f"{file}, dataset {pipeline.dataset_name}", "duckdb", pipeline.dataset_name)
    return None


def _holds_history(place: Place) -> bool:
    return _counts(place, "load_runs")


def _was_set_back(place: Place) -> bool:
    """Whether the destination lacks the newest load that was completed from here."""
    pipeline = place.pipeline
    for load_id in sorted(pipeline.list_completed_load_packages(), reverse=True):
        if pipeline.get_load_package_info(load_id).state == "loaded":  # others were given up
            return not _counts(place, "_dlt_loads", "load_id", load_id)
    return False


def _counts(place: Place, table: str, column: str | None = None, value: Any = None) -> bool:
    """Whether `table` is there and has a row, with that value in that column."""
    if place.is_missing:
        return False
    with connect(place) as client:
        query = f"select count(*) from {client.make_qualified_table_name(table)}"  # noqa: S608  our own name
        if column:
            query += f" where {client.escape_column_name(column)} = %s"
        try:
            return any(count for (count,) in client.execute_sql(query, *[value] if column else ()) or ())
        except DestinationUndefinedEntity:
            return False


def _location(place: Place) -> str:
    """What an engine can reach, of BigQuery a region alone; and what dlt shows of the credentials."""
    return f"{place.location} {place.config} {place.pipeline.dataset_name}"


def _local(pipeline: dlt.Pipeline, key: str) -> Any:
    try:
        return pipeline.get_local_state_val(key)
    except KeyError:
        return None
