"""Notebooks, run in a Python process of their own with the parameters of an account."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dlt
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ..errors import ReportError
from ..load.settings import Defaults
from .account import Account
from .wording import listed

NOTEBOOKS = ("monthly_cost", "capability_mix", "release_requests", "number_usage")
OF_CALLS = ("number_usage",)
"""Those that have nothing to say where no calls were loaded."""
CELL_SECONDS = 300
LONGEST_FOLDER = 80
"""Systems allow a socket's whole path some 100 bytes."""
START = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
from ipykernel.kernelapp import launch_new_instance
launch_new_instance(ignore_cwd=True, exec_PYTHONSTARTUP=False)
"""
"""What a kernel runs: Python's `-P`, which 3.10 lacks. No file of the working folder is taken for a module."""

DUCKDB_BOUNDS = "destination.duckdb.credentials.global_config"
"""dlt's setting for DuckDB's. By itself DuckDB takes up to four fifths of the machine's memory to work a view out."""
DUCKDB_MEMORY = "250MiB"


def notebooks_folder() -> Path:
    """Where the notebooks lie: inside the installed package, or beside it in the repository."""
    package = Path(__file__).parents[1]
    folders = (package / "notebooks", package.parents[1] / "notebooks")
    for folder in folders:
        if (folder / f"{NOTEBOOKS[0]}.ipynb").is_file():
            return folder
    raise ReportError(
        f"there are no notebooks in {listed(str(folder) for folder in folders)}: install the whole package"
    )


def notebooks_of(account: Account) -> list[str]:
    """The notebooks that have something to say of `account`."""
    return [name for name in NOTEBOOKS if account.has_calls or name not in OF_CALLS]


def execute(path: Path, account: Account) -> Any:
    """The notebook with its outputs, run by itself with the parameters of `account`. Raises ReportError."""
    with kernel(path.stem) as client:
        return run(path, account, client)


@contextmanager
def kernel(first: str) -> Iterator[NotebookClient]:
    """A process that runs notebooks, one after the other: most of a short one is the start of Python and its packages.

    Raises ReportError, which names the `first` notebook, where it does not start.
    """
    quiet = ["--IPKernelApp.log_level=CRITICAL"]
    with TemporaryDirectory(prefix="talkover-") as folder, _one_line(first):
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=_ThisPython(folder),
            connection_file=os.path.join(folder, "kernel.json"),
            transport=_transport(folder),
        )
        nothing: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
        client = NotebookClient(nothing, timeout=CELL_SECONDS, km=manager, extra_arguments=quiet)
        with client.setup_kernel(cleanup_kc=True):
            yield client


def _transport(folder: str) -> str:
    """Sockets in `folder`, which is its owner's alone, where the system has them and their names are not too long: on
    a port of loopback every user of the machine could listen to what the notebooks show.
    """
    return "ipc" if os.name != "nt" and len(folder) <= LONGEST_FOLDER else "tcp"


def run(path: Path, account: Account, client: NotebookClient) -> Any:
    """The notebook with its outputs, run with the parameters of `account` where nothing has a name yet.

    Raises ReportError.
    """
    notebook: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    parameters = ("pipeline_name", "destination", "dataset", "environment", "since")
    given = "\n".join(f"{name} = {getattr(account, name)!r}" for name in parameters)
    place = next(n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(given))  # type: ignore[no-untyped-call]
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # type: ignore[no-untyped-call]
    client.nb = notebook
    client.reset_execution_trackers()
    with _one_line(path.stem):
        for index, cell in enumerate(notebook.cells):  # not client.execute(), which takes Ctrl-C for itself
            client.execute_cell(cell, index)
    return notebook


@contextmanager
def _one_line(notebook: str) -> Iterator[None]:
    try:
        yield
    except CellExecutionError as error:
        raise ReportError(f"notebook {notebook}: {error.ename}: {error.evalue}") from None
    except (RuntimeError, TimeoutError) as error:  # the kernel died, or does not start
        raise ReportError(f"notebook {notebook}: {str(error).splitlines()[0]}") from None


@contextmanager
def bounded() -> Iterator[None]:
    """DuckDB reads within DUCKDB_MEMORY in this process, unless it is configured otherwise."""
    with TemporaryDirectory(prefix="talkover-") as folder:
        settings = {"destination": {"duckdb": {"credentials": {"global_config": _bounds(folder)}}}}
        with Defaults("bounds of a report", settings):
            yield


def _bounds(folder: str) -> dict[str, str]:
    """What does not fit into memory is kept in `folder` meanwhile, not beside the file that is read."""
    return {"memory_limit": DUCKDB_MEMORY, "temp_directory": folder}


class _ThisPython(KernelSpecManager):
    """The interpreter that runs this, whatever kernels, profiles and startup files Jupyter and IPython have been given.

    What they keep lies in `folder`, so that none of it needs a home.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        kept = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        name, bounds = DUCKDB_BOUNDS.replace(".", "__").upper(), json.dumps(_bounds(folder))
        self._spec = KernelSpec(
            argv=[sys.executable, "-c", START, "-f", "{connection_file}"],
            env=dict.fromkeys(kept, folder) | ({} if dlt.secrets.get(DUCKDB_BOUNDS) else {name: bounds}),
            metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
        )

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002  there is one
        return self._spec
