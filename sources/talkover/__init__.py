"""Talkover phone numbers and release requests as tables, for dlt.

    import dlt
    from talkover import talkover_source

    dlt.pipeline("talkover_pipeline", destination="duckdb", dataset_name="talkover").run(talkover_source())

`load_account` does the same with everything around it that a schedule needs: a lock, retries, views, a summary.
`read_view` gives what was loaded as pandas data frames, `read_arrow` as Arrow tables; `open_findings` tells what is to
be done.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    ApiError,
    AuthenticationError,
    CallsError,
    ConfigurationError,
    IncompleteListing,
    InvalidRow,
    LoadError,
    NothingLoaded,
    ReportError,
    RunInProgress,
    SuspiciousRemoval,
    TalkoverError,
    UnexpectedPayload,
    ViewError,
)

if TYPE_CHECKING:
    from .load.load import load_account
    from .load.summary import Summary
    from .report.alerts import OpenFinding, open_findings
    from .report.read import read_arrow, read_view
    from .sync.settings import caller_hash
    from .sync.source import talkover_source

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AuthenticationError",
    "CallsError",
    "ConfigurationError",
    "IncompleteListing",
    "InvalidRow",
    "LoadError",
    "NothingLoaded",
    "OpenFinding",
    "ReportError",
    "RunInProgress",
    "Summary",
    "SuspiciousRemoval",
    "TalkoverError",
    "UnexpectedPayload",
    "ViewError",
    "__version__",
    "caller_hash",
    "load_account",
    "open_findings",
    "read_arrow",
    "read_view",
    "talkover_source",
]

_LAZY = {
    "caller_hash": ".sync.settings",
    "talkover_source": ".sync.source",
    "load_account": ".load.load",
    "Summary": ".load.summary",
    "OpenFinding": ".report.alerts",
    "open_findings": ".report.alerts",
    "read_arrow": ".report.read",
    "read_view": ".report.read",
}


def __getattr__(name: str) -> Any:
    """Imports dlt only when it is needed: `talkover --help` must answer at once."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
