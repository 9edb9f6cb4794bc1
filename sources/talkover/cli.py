"""The command line: how a command ends, as an exit code and one line on stderr. Imports dlt only once it is needed."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from .arguments import parser
from .errors import TalkoverError
from .text import visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 2 wrong usage or configuration, 1 anything else."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no failure
    options = parser().parse_args(arguments)
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # dlt starts it when it is first imported
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # Arrow's own keeps more of what was freed
    if options.debug:
        os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO")
    log = logging.StreamHandler()
    log.setFormatter(_OneLine("talkover: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.WARNING, handlers=[log])
    try:
        code = int(options.run(options))
        sys.stdout.flush()
    except TalkoverError as error:
        if options.debug:
            _print_traceback()
        print(f"talkover: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `talkover … | head` has read enough
        return 0
    except Exception as error:  # the last line of defence: one line for the log of a schedule
        if options.debug:
            _print_traceback()
        if isinstance(error, OSError):  # a full disk, a folder that is not writable
            says = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        else:
            says = f"{type(error).__name__}: {error}. This is a bug: please report it, with --debug"
        print(visible(f"talkover: {says}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("talkover: interrupted; the next run starts from what the destination holds", file=sys.stderr)
        return 130
    finally:
        _forget_what_cannot_be_written()
    return code


def _forget_what_cannot_be_written() -> None:
    """Python would try it once more when it ends, and say of it what has been said, with an exit code of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_traceback() -> None:
    print(_indented(traceback.format_exc()), file=sys.stderr)


def _indented(lines: str) -> str:
    """A traceback whose errors may quote anything: no line of it looks like one of ours."""
    return "\n".join(f"  {visible(line)}" for line in lines.splitlines())


class _OneLine(logging.Formatter):
    """One line a record; a traceback is below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _indented(super().formatStack(stack_info))


def _open_closed_streams() -> None:
    """A service may be started without them: the next file or socket would get the number of one, and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115  until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
