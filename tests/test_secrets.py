"""The token is nowhere but in the header: a run with everything logged is searched for it, byte by byte."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from talkover import InvalidRow, load_account
from talkover.sandbox import FAULTS as EVERY_KIND
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer

from .conftest import TODAY

TOKEN = "talq_7f3c9e1d5b2a48c6"


def search(workspace: Path, needle: bytes) -> list[str]:
    """The files below `workspace` that hold `needle`, also packed ones."""
    found = []
    for path in workspace.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
            if needle in content:
                found.append(str(path.relative_to(workspace)))
    return found


FAULTS = {
    "none": [],
    "401 that quotes it": [Fault("answer", answer=Answer(401, {"message": f"Invalid token {TOKEN}"}), times=9)],
    "html that quotes it": [Fault("answer", answer=Answer(200, f"<title>{TOKEN}</title>"), times=99)],
    "success false": [Fault("answer", answer=Answer(200, {"success": False, "message": TOKEN}), times=9)],
    "bad row": [Fault("answer", answer=Answer(200, {"data": [{"id": None}]}), times=9)],
}


CASES = [
    ("TALKOVER_TOKEN", "none"),
    *(pytest.param("TALKOVER_TOKEN", fault, marks=pytest.mark.slow) for fault in FAULTS if fault != "none"),
    *(
        pytest.param(place, "none", marks=pytest.mark.slow)
        for place in ("SOURCES__TALKOVER__API_TOKEN", "secrets.toml", "environments")
    ),
]


@pytest.mark.parametrize(("place", "fault"), CASES)
def test_the_token_is_in_no_output_log_or_file(place: str, fault: str, workspace: Path) -> None:
    environment = dict(os.environ) | {"RUNTIME__LOG_LEVEL": "DEBUG", "RUNTIME__REQUEST_MAX_ATTEMPTS": "2"}
    if place == "secrets.toml":
        (workspace / ".dlt").mkdir()
        (workspace / ".dlt/secrets.toml").write_text(f'[sources.talkover]\napi_token = "{TOKEN}"\n')
    elif place == "environments":
        environment["SOURCES__TALKOVER__ENVIRONMENTS"] = f'{{"live": "{TOKEN}"}}'
    else:
        environment[place] = TOKEN
    with Sandbox({TOKEN: Account(size=150, founded=TODAY)}, faults=[*FAULTS[fault]]) as sandbox:
        environment["SOURCES__TALKOVER__BASE_URL"] = sandbox.base_url
        command = [sys.executable, "-m", "talkover", "load", "--debug"]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
        assert sandbox.seen[0].token == TOKEN
    assert done.returncode == (0 if fault == "none" else 1), done.stderr.decode()
    assert TOKEN.encode() not in done.stdout + done.stderr
    holders = search(workspace, TOKEN.encode())
    assert holders == ([".dlt/secrets.toml"] if place == "secrets.toml" else [])
    assert search(workspace, b"phone"), "the search finds what is there"


EVERY_FAULT = """
import os
from talkover.cli import main
from talkover.sandbox import FAULTS, Account, Fault, Sandbox

with Sandbox({os.environ["TALKOVER_TOKEN"]: Account(size=9)}) as sandbox:
    os.environ["SOURCES__TALKOVER__BASE_URL"] = sandbox.base_url
    for kind in FAULTS:
        sandbox.faults = [Fault(kind, times=99)]
        print(kind, main(["load", "--debug"]), flush=True)
"""


@pytest.mark.slow
def test_the_token_is_in_no_output_log_or_file_under_any_fault(workspace: Path) -> None:
    environment = dict(os.environ) | {
        "TALKOVER_TOKEN": TOKEN,
        "RUNTIME__LOG_LEVEL": "DEBUG",
        "RUNTIME__REQUEST_MAX_ATTEMPTS": "2",
        "RUNTIME__REQUEST_MAX_RETRY_DELAY": "1",
        "RUNTIME__REQUEST_TIMEOUT": "0.5",
        "SOURCES__TALKOVER__PER_PAGE": "4",
    }
    command = [sys.executable, "-c", EVERY_FAULT]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=True)
    ended = dict(line.rsplit(" ", 1) for line in done.stdout.decode().splitlines() if line.count(" ") == 1)
    assert set(EVERY_KIND) <= set(ended)
    assert ended["401"] == ended["500"] == ended["wrong-total"] == "1"
    assert TOKEN.encode() not in done.stdout + done.stderr
    assert search(workspace, TOKEN.encode()) == []


def test_an_error_quotes_no_more_of_a_row_than_its_id_and_the_field_that_is_wrong(workspace: Path) -> None:
    account = Account(size=9, founded=TODAY)
    private = "Maria Silva, +351 912 345 678"
    for number in account.numbers.values():
        number |= {"formatted_number": private, "agents": [{"id": "a", "name": private}], "note": private}
    for wrong in ({"current_price": "free"}, {"agents": [{"name": private}]}, {"noteName": 1, "note_name": private}):
        good = dict(first := next(iter(account.numbers.values())))
        first.update(wrong)
        with Sandbox({TOKEN: account}) as sandbox:
            with pytest.raises(InvalidRow) as caught:
                load_account(destination="duckdb", api_token=TOKEN, base_url=sandbox.base_url)
            assert "Maria" not in str(caught.value)
        first.clear()
        first.update(good)
