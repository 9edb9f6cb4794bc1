"""Progress of a load on a terminal: one line that is written over, and gone at the end."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from typing import Any

from dlt.common.runtime.collector_base import Collector


class TerminalLine(Collector):
    """A collector of dlt that shows the step and its latest counter on stderr."""

    def update(self, name: str, inc: int = 1, total: int | None = None, *_: Any, **__: Any) -> None:
        self._counts[name] += inc
        of = f" of {total}" if total else ""
        show(f"{self._verb}: {name} {self._counts[name]:,}{of}")

    def _start(self, step: str) -> None:
        self._counts: Counter[str] = Counter()
        self._verb = step.split(maxsplit=1)[0]
        show(f"{self._verb} …")

    def _stop(self) -> None:
        show("")


def show(text: str) -> None:
    """Writes over the last line of the terminal that stderr is."""
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write(f"\r{text[:width]:<{width}}\r")
    sys.stderr.flush()
