"""What is used of dlt that its documentation does not promise, each with the reason: the first place to look at when
dlt is upgraded. It was written for dlt 1.31.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration import known_sections, resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.providers.toml import SettingsTomlProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.normalizers.utils import generate_dlt_ids
from dlt.common.schema.typing import VERSION_TABLE_NAME, TTableSchemaColumns
from dlt.common.schema.utils import dlt_id_column, dlt_load_id_column
from dlt.common.versioned_state import decompress_state
from dlt.destinations.sql_client import SqlClientBase
from dlt.extract import DltResource
from dlt.extract.items_transform import FilterItem
from dlt.normalize.configuration import ItemsNormalizerConfiguration
from dlt.pipeline.configuration import PipelineConfiguration

# Settings.


def configured_target(pipeline_name: str) -> tuple[Any, str | None]:
    """Destination and dataset that dlt is configured to use: a pipeline shows a default where none was configured."""
    configured = resolve_configuration(
        PipelineConfiguration(pipeline_name=pipeline_name), sections=(known_sections.PIPELINES, pipeline_name)
    )
    return configured.destination_type, configured.dataset_name


def unregister_provider(provider: ConfigProvider) -> None:
    """Undoes `dlt.config.register_provider`; where the settings were loaded anew since then it is gone already."""
    providers = Container()[PluggableRunContext].providers.providers
    if provider in providers:
        providers.remove(provider)


def read_settings_again() -> None:
    """The settings of dlt's log and requests, which it reads once; `reload` would also lose what callers registered."""
    context = dlt.current.run_context()
    context.reset_config()
    context.initialize_runtime()


def values_for_tables(*sections: str) -> Iterator[tuple[str, str]]:
    """Name and file of each of those nested sections that a file of settings holds as a value: dlt passes over them.

    The files are asked, since what is asked of `dlt.config` is in dlt's trace, tokens too.
    """
    for file in Container()[PluggableRunContext].providers.providers:
        if not isinstance(file, SettingsTomlProvider):
            continue
        for depth, key in enumerate(sections):
            value, name = file.get_value(key, Any, "", *sections[:depth])
            if not isinstance(value or {}, Mapping):
                yield name, file.name


# Destinations.


def keep_files_here(pipeline: dlt.Pipeline) -> None:
    """dlt keeps the folder of a pipeline's first run: from another one it would go on filling the file in the first.

    A destination takes its folder when it is made, and this one may be a caller's.
    """
    if pipeline.destination.config_params.get("local_dir") == pipeline.get_local_state_val("initial_cwd"):
        pipeline.destination.config_params["local_dir"] = str(Path.cwd())


def load_one_table_at_a_time(pipeline: dlt.Pipeline) -> None:
    """The documented setting is for every destination, and a destination takes its own when it is made."""
    pipeline.destination.caps_params.setdefault("loader_parallelism_strategy", "sequential")


def make_missing_tables(pipeline: dlt.Pipeline) -> None:
    """Makes every table that is not there: `sync_schema` believes what dlt remembers of them."""
    with pipeline.destination_client() as client:
        client.update_stored_schema(force=True)


def stored_columns(client: SqlClientBase[Any], schema_name: str) -> dict[str, TTableSchemaColumns]:
    """Table to its columns, by every version of a schema that is stored in the dataset of `client`, the newest last.

    dlt itself reads the newest alone, and two pipelines that share a dataset store what each of them knows.
    """
    versions = client.make_qualified_table_name(VERSION_TABLE_NAME)
    schema, name, inserted_at = map(client.escape_column_name, ("schema", "schema_name", "inserted_at"))
    query = f"select {schema} from {versions} where {name} = %s order by {inserted_at} asc"  # noqa: S608  dlt's names
    found: dict[str, TTableSchemaColumns] = {}
    for (text,) in client.execute_sql(query, schema_name) or ():
        for table, stored in decompress_state(text)["tables"].items():
            found[table] = found.get(table, {}) | stored["columns"]
    return found


# Rows.

ROW_COLUMNS: TTableSchemaColumns = {
    "_dlt_load_id": dlt_load_id_column(),
    "_dlt_id": {**dlt_id_column(), "unique": False},
}
"""The columns that dlt gives every row, but an Arrow table only where a setting says so. Ours have them always: a table
that was made empty has them, and must not be null.

PostgreSQL would keep ids unique in the staging tables, too: the job of a killed load, which is run again into a table
that holds its rows already, would fail for good. Rows that stand there twice are merged on their key.
"""


def adds_row_ids() -> bool:
    """Whether that setting is on for ids: dlt adds them then also where they are."""
    found = resolve_configuration(
        ItemsNormalizerConfiguration(), sections=(known_sections.NORMALIZE, "parquet_normalizer")
    )
    return bool(found.add_dlt_id)


def row_ids(rows: int) -> Sequence[str]:
    """An id for each of so many rows, as dlt makes them."""
    return generate_dlt_ids(rows)


def is_filtered(resource: DltResource) -> bool:
    """Whether rows are filtered: a resource does not list the steps that were added to it."""
    return any(isinstance(step, FilterItem) for step in resource._pipe.steps)
