"""What the package promises to those who import it."""

from __future__ import annotations

import subprocess
import sys

import talkover


def test_public_names_are_there_and_sorted() -> None:
    assert talkover.__all__ == sorted(talkover.__all__)
    for name in talkover.__all__:
        assert getattr(talkover, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(talkover, "nonsense")


def test_importing_the_package_imports_neither_dlt_nor_pandas() -> None:
    check = "import sys, talkover; print(sorted({'dlt', 'pandas', 'requests', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_error_is_a_talkover_error_with_an_exit_code() -> None:
    errors = [
        getattr(talkover, name) for name in talkover.__all__ if name.endswith(("Error", "Payload", "Listing", "Row"))
    ]
    for error in (*errors, talkover.SuspiciousRemoval, talkover.RunInProgress):
        assert issubclass(error, talkover.TalkoverError)
        assert error.exit_code == (2 if error is talkover.ConfigurationError else 1)
