"""A process beside the tests that ends their servers when they are gone, however they ended: also by SIGKILL.

    python watch.py SIGNAL [FOLDER]

reads the ids of processes from its input, a line each. When that is closed, it sends them SIGNAL, or SIGKILL where that
does not help, and removes FOLDER.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SECONDS_TO_END = 10

Watch = Callable[["subprocess.Popen[Any]"], None]


@contextmanager
def watched(how_to_end: signal.Signals, folder: Path | None = None) -> Iterator[Watch]:
    """What the given function is told of ends with this block or this process at the latest; then `folder` goes."""
    command = [sys.executable, "-I", "-S", __file__, str(how_to_end.value), *([str(folder)] if folder else [])]
    # in a session of its own, since Ctrl-C is meant for the tests
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as watching:

        def watch(server: subprocess.Popen[Any]) -> None:
            print(server.pid, file=watching.stdin, flush=True)

        yield watch


def end(servers: list[int], how_to_end: int) -> None:
    """Ends processes by their descriptors: ids may be somebody else's by now."""
    for server in servers:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(server, how_to_end)
    ends = time.monotonic() + SECONDS_TO_END
    for server in servers:
        if not select.select([server], [], [], max(ends - time.monotonic(), 0))[0]:
            signal.pidfd_send_signal(server, signal.SIGKILL)


def remove(folder: str) -> None:
    """Also where somebody is still writing into it, such as initdb."""
    ends = time.monotonic() + SECONDS_TO_END
    while Path(folder).exists() and time.monotonic() < ends:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def main(how_to_end: str, folder: str = "") -> None:
    servers = []
    for line in sys.stdin:
        with suppress(ProcessLookupError):
            servers.append(os.pidfd_open(int(line)))
    end(servers, int(how_to_end))
    if folder:
        remove(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
