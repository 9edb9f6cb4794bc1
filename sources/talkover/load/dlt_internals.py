"""What dlt 1.31 has no documented way for: each function says why it must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
from dlt.common.configuration import known_sections, resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.pipeline.configuration import PipelineConfiguration


def configured_target(pipeline_name: str) -> tuple[Any, str | None]:
    """Destination and dataset that dlt is configured to use: a pipeline tells none that was not, but a default."""
    configured = resolve_configuration(
        PipelineConfiguration(pipeline_name=pipeline_name), sections=(known_sections.PIPELINES, pipeline_name)
    )
    return configured.destination_type, configured.dataset_name


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
