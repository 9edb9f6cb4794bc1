"""Settings of dlt where nobody set them, for as long as a load, a check or a look into the tables takes."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import dlt
from dlt.common.configuration.providers import CustomLoaderDocProvider

from ..dlt_internals import read_settings_again, unregister_provider
from .failures import settings_that_cannot_be

DEFAULTS = {
    "runtime": {"log_level": "CRITICAL"},
    "data_writer": {"disable_compression": True},
    "normalize": {"data_writer": {"disable_compression": True}},
    "destination": {"postgres": {"credentials": {"password": ""}}},
}
"""dlt's errors are raised, so it need not log them too; intermediate files live for seconds, and packing them costs a
third of a load. dlt insists on a password for PostgreSQL; of an empty one libpq thinks as of none, and looks into
PGPASSWORD and .pgpass as psql does."""


class Defaults:
    """While it is entered, `settings` stand behind every other place that dlt reads settings from.

    dlt has one configuration a process, and loads may run in several threads: the first that enters brings them, the
    last that leaves takes them away.
    """

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self._provider = CustomLoaderDocProvider(name, lambda: settings, locations=[])
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                with ExitStack() as undo:
                    self._bring(undo)
                    self._undo = undo.pop_all()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._undo.close()

    def _bring(self, undo: ExitStack) -> None:
        undo.callback(_read_settings_again)
        dlt.config.register_provider(self._provider)
        undo.callback(unregister_provider, self._provider)
        _read_settings_again()


defaults = Defaults("defaults of talkover", DEFAULTS)


def _read_settings_again() -> None:
    with settings_that_cannot_be():
        read_settings_again()
