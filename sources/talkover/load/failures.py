"""What a run can end in, as one sentence: errors of dlt, of the files it reads and of the disk it writes."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dlt
import tomlkit
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.configuration.providers.toml import TomlProviderReadException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import DltException
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.pipeline.exceptions import PipelineStepFailed
from tomlkit.exceptions import ParseError, TOMLKitError

from ..errors import ConfigurationError, LoadError, TalkoverError


@contextmanager
def translate_errors() -> Iterator[None]:
    """Unwraps the errors of this package from dlt's, and makes one line of every other that a run can end in."""
    try:
        with settings_that_cannot_be():
            dlt.current.run_context()  # when it is first asked for, dlt reads its settings
        yield
    except DltException as error:
        causes = causes_of(error)
        for cause in causes:
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            if isinstance(cause, TalkoverError):
                raise cause from error
            if isinstance(cause, ConfigFieldMissingException):
                raise ConfigurationError(f"dlt's configuration: {_missing_fields(cause)}") from error
            if isinstance(cause, TomlProviderReadException):
                raise ConfigurationError(_why_unreadable(cause)) from error
            if isinstance(cause, ConfigurationException):
                raise ConfigurationError(f"dlt's configuration: {first_line(cause)}") from error
            if isinstance(cause, UnknownDestinationModule):
                instead = "Take duckdb, postgres or another one of docs/destinations.md"
                raise ConfigurationError(f"{cause.ref!r} is not a destination that dlt knows. {instead}") from error
        step = f"the {error.step} step failed: " if isinstance(error, PipelineStepFailed) else ""
        raise LoadError(step + first_line(causes[-1]) + _where(causes[-1])) from error
    except OSError as error:
        file = f": {error.filename}" if error.filename else ""
        raise LoadError(f"{error.strerror or error}{file}{_where(error)}") from error


@contextmanager
def settings_that_cannot_be() -> Iterator[None]:
    """dlt ends in an error of Python's own where a section is a value, or a level of its log is none."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"dlt's configuration: {first_line(error)}") from error


def causes_of(error: BaseException) -> list[BaseException]:
    """`error` and what it was raised from, innermost last."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return causes


def first_line(error: BaseException) -> str:
    """The first line of what `error` says; its kind where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _where(error: BaseException) -> str:
    """What an error of a file does not say: the only files that a run writes by itself are dlt's."""
    folder = get_dlt_pipelines_dir()
    if isinstance(error, PermissionError) and str(error.filename).startswith(folder):
        return f". dlt's files in {folder} are another user's: set DLT_DATA_DIR to a folder of your own"
    is_of_a_write = re.search(
        rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG}|{errno.EIO})\] [^:]*$", str(error)
    )
    return f": while writing below {folder}" if is_of_a_write else ""


def _missing_fields(error: ConfigFieldMissingException) -> str:
    """dlt's lines about a configuration and those within it; between them it says where it looked for each field."""
    return "; ".join(line.strip() for line in str(error).splitlines() if "field(s)" in line)


def _why_unreadable(error: TomlProviderReadException) -> str:
    """dlt names every place where such a file may be: which one it is, and where in it, is found out here."""
    for path in filter(os.path.isfile, error.full_paths):
        try:
            text = Path(path).read_text(encoding="utf-8")
            if text.startswith("\ufeff"):
                return f"{path} begins with a byte order mark: save it as UTF-8 without one"
            tomlkit.parse(text)
        except UnicodeDecodeError:
            return f"{path} is not in UTF-8: save it so"
        except ParseError as cause:
            return f"{path}, line {cause.line}: a quotation mark or a bracket is missing, or it is not TOML ({cause})"
        except TOMLKitError as cause:
            return f"{path}: {cause}"
        except OSError as cause:
            return f"{path} cannot be read: {cause.strerror}"
    return f"{error.file_name} cannot be read: {error}"
