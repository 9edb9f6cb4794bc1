"""The token is nowhere but in the header: a run with everything logged is searched for it, byte by byte."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from dlt.extract.exceptions import ResourceExtractionError

from talkover import InvalidRow, talkover_source
from talkover.sandbox import FAULTS as EVERY_KIND
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer
from talkover.sync.parties import CallerKey
from talkover.sync.settings import Api
from talkover.sync.shared import CallOptions

from .conftest import TODAY, Row

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


QUOTING = {
    "401": [Fault("answer", answer=Answer(401, {"message": f"Invalid token {TOKEN}"}), times=9)],
    "html": [Fault("answer", answer=Answer(200, f"<title>{TOKEN}</title>"), times=99)],
    "success false": [Fault("answer", answer=Answer(200, {"success": False, "message": TOKEN}), times=9)],
    "bad row": [Fault("answer", answer=Answer(200, {"data": [{"id": None, "name": TOKEN}]}), times=9)],
}
"""Answers with the token in them."""


LOADS = """
import os, sys
from talkover.cli import main

for base_url in sys.argv[1:]:
    os.environ["SOURCES__TALKOVER__BASE_URL"] = base_url
    print("exit code", main(["load", "--debug"]), flush=True)
"""


def play(workspace: Path, faults: Mapping[str, list[Fault]], **settings: str) -> dict[str, int]:
    """The exit code of a load under each of `faults`, all in one process that logs everything and leaves no token."""
    environment = dict(os.environ) | {"RUNTIME__LOG_LEVEL": "DEBUG", "RUNTIME__REQUEST_MAX_ATTEMPTS": "2"} | settings
    with ExitStack() as served:
        sandboxes = [
            served.enter_context(Sandbox({TOKEN: Account(size=9, founded=TODAY)}, faults=[*faults[name]]))
            for name in faults
        ]
        command = [sys.executable, "-c", LOADS, *(sandbox.base_url for sandbox in sandboxes)]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert {sandbox.seen[0].token for sandbox in sandboxes} == {TOKEN}
    assert TOKEN.encode() not in done.stdout + done.stderr
    assert b"|dlt|" in done.stderr, "everything is logged"
    assert search(workspace, b"phone"), "the search finds what is there"
    codes = [int(line.split()[2]) for line in done.stdout.decode().splitlines() if line.startswith("exit code ")]
    return dict(zip(faults, codes, strict=True))


def test_the_token_is_in_no_output_log_or_file_though_the_api_quotes_it(workspace: Path) -> None:
    assert play(workspace, QUOTING, TALKOVER_TOKEN=TOKEN) == dict.fromkeys(QUOTING, 1)
    assert search(workspace, TOKEN.encode()) == []


PLACES = ["SOURCES__TALKOVER__API_TOKEN", "SOURCES__TALKOVER__ENVIRONMENTS", "secrets.toml"]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_the_token_is_in_no_output_log_or_file_wherever_it_is_configured(place: str, workspace: Path) -> None:
    settings = {}
    if place == "secrets.toml":
        (workspace / ".dlt").mkdir()
        (workspace / ".dlt/secrets.toml").write_text(f'[sources.talkover]\napi_token = "{TOKEN}"\n')
    else:
        settings[place] = f'{{"live": "{TOKEN}"}}' if place.endswith("ENVIRONMENTS") else TOKEN
    assert play(workspace, {"none": []}, **settings) == {"none": 0}
    assert search(workspace, TOKEN.encode()) == ([".dlt/secrets.toml"] if place == "secrets.toml" else [])


@pytest.mark.slow
def test_the_token_is_in_no_output_log_or_file_under_any_fault(workspace: Path) -> None:
    short = {"RUNTIME__REQUEST_MAX_RETRY_DELAY": "1", "RUNTIME__REQUEST_TIMEOUT": "0.5"}
    faults = {kind: [Fault(kind, times=99)] for kind in EVERY_KIND}
    ended = play(workspace, faults, TALKOVER_TOKEN=TOKEN, SOURCES__TALKOVER__PER_PAGE="4", **short)
    assert ended["shrinking"] == 0
    assert ended["401"] == ended["500"] == ended["wrong-total"] == 1
    assert search(workspace, TOKEN.encode()) == []


def test_no_secret_is_in_what_a_debugger_or_a_log_shows_of_an_object(sandbox: Sandbox) -> None:
    """Tools that report errors do so with the local variables."""
    api = Api.of({"live": TOKEN}, sandbox.base_url, 100, 4)
    source = talkover_source(TOKEN, base_url=sandbox.base_url, calls=True, caller_key=TOKEN)
    transports = [client.transport for client in api.clients().values()]
    shown = [api, source, *source.resources.values(), *transports, CallerKey(TOKEN.encode())]
    shown += [CallOptions(caller_key=TOKEN), *[transport.session.auth for transport in transports]]
    assert [each for each in shown if TOKEN in f"{each!r} {each}"] == []


PRIVATE = "Maria Silva, +351 912 345 678"


@pytest.mark.parametrize(
    "wrong", [{"current_price": "free"}, {"agents": [{"name": PRIVATE}]}, {"noteName": 1, "note_name": PRIVATE}]
)
def test_an_error_quotes_no_more_of_a_row_than_its_id_and_the_field_that_is_wrong(wrong: Row) -> None:
    account = Account(size=9, founded=TODAY)
    for number in account.numbers.values():
        number |= {"formatted_number": PRIVATE, "agents": [{"id": "a", "name": PRIVATE}], "note": PRIVATE}
    next(iter(account.numbers.values())).update(wrong)
    with Sandbox({TOKEN: account}) as sandbox, pytest.raises(ResourceExtractionError) as caught:
        list(talkover_source(TOKEN, base_url=sandbox.base_url))
    assert isinstance(caught.value.__cause__, InvalidRow)
    assert "Maria" not in str(caught.value.__cause__)
