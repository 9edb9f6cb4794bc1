"""The dlt pipeline, and the place that it loads into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.runtime.collector import NULL_COLLECTOR
from dlt.common.runtime.collector_base import Collector

from ..dlt_internals import configured_target, keep_files_here
from ..errors import ConfigurationError
from ..sync.destinations import refuse_unfit
from ..text import is_name

PIPELINE = "talkover_pipeline"
DEMO_PIPELINE = "talkover_demo"
"""The made-up account: always in a DuckDB file of its own, unless another destination is named."""
DATASET = "talkover"


def open_pipeline(
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    progress: Collector | None = None,
    *,
    folder: str = "",
) -> dlt.Pipeline:
    """The pipeline, not connected yet; its working directory is in `folder`, or where dlt keeps them.

    Raises ConfigurationError for a destination that cannot work.
    """
    configured_destination, configured_dataset = configured_target(pipeline_name)
    if pipeline_name == DEMO_PIPELINE:
        # Never into the real file or warehouse, wherever that is configured to be.
        destination, dataset = destination or "duckdb", dataset or DATASET
        if destination == "duckdb":
            destination = dlt.destinations.duckdb(str(Path.cwd() / f"{DEMO_PIPELINE}.duckdb"))
    destination = destination or configured_destination or "duckdb"
    dataset = dataset or configured_dataset or DATASET
    if not is_name(dataset):
        raise ConfigurationError(f"{dataset!r} is not a valid dataset name")
    for place in (str(Path.cwd()), get_dlt_pipelines_dir()):
        if not is_name(place):
            raise ConfigurationError(f"{place!r} has a name that is no text here: rename it, or set LC_ALL=C.UTF-8")
    pipeline = dlt.pipeline(
        pipeline_name,
        pipelines_dir=folder,
        destination=destination,
        dataset_name=dataset,
        progress=progress or NULL_COLLECTOR,
    )
    refuse_unfit(pipeline)
    keep_files_here(pipeline)
    return pipeline


@dataclass(frozen=True)
class Place:
    """Where a pipeline loads into, asked of dlt once: it resolves its whole configuration for each answer.

    `shown` is how people find it, `dataset` its schema as the destination spells it, `dialect` sqlglot's name for its
    SQL. `location` is what an engine can reach, of BigQuery a region alone; `config` all that dlt knows, without
    secrets. `file` is that of DuckDB; None for any other destination, and for a connection that dlt was given.
    """

    pipeline: dlt.Pipeline
    shown: str
    dataset: str
    dialect: str | None
    location: str
    config: str
    file: Path | None

    @classmethod
    def of(cls, pipeline: dlt.Pipeline) -> Place:
        """Connects to nothing. Raises ConfigurationError for a file of DuckDB that is called like the dataset."""
        client: Any = pipeline.destination_client()
        config, dataset = client.config, client.sql_client.dataset_name
        file = _duckdb_file(pipeline, config.credentials)
        if file is not None and file.name.split(".")[0].lower() == dataset.lower():
            raise ConfigurationError(
                f"DuckDB cannot keep dataset {pipeline.dataset_name!r} in a file of the same name ({file.name}): SQL "
                "could not tell them apart. Rename the file, or give another --dataset"
            )
        return cls(
            pipeline=pipeline,
            shown=str(file or pipeline.destination.destination_name),
            dataset=dataset,
            dialect=client.capabilities.sqlglot_dialect,
            location=str(config.data_location()),
            config=str(config),
            file=file,
        )

    @property
    def is_missing(self) -> bool:
        """Whether it is a file that is not there: to open it would make it."""
        return self.file is not None and not self.file.exists()


def _duckdb_file(pipeline: dlt.Pipeline, credentials: Any) -> Path | None:
    if pipeline.destination.destination_type != "dlt.destinations.duckdb" or credentials.database == ":external:":
        return None
    return Path(credentials.database)


def what_to_run(pipeline_name: str) -> str:
    """What a person who finds nothing in the destination does first."""
    if pipeline_name == DEMO_PIPELINE:
        return "run `talkover load --demo` first"
    return "run `talkover load` first. Without an account, `talkover load --demo` and `talkover report --demo` show one"
