"""The token is nowhere but in the header: a run with everything logged is searched for it, byte by byte."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    "500": [Fault("500", times=99)],
    "cut": [Fault("cut", times=99)],
    "html that quotes it": [Fault("answer", answer=Answer(200, f"<title>{TOKEN}</title>"), times=99)],
    "success false": [Fault("answer", answer=Answer(200, {"success": False, "message": TOKEN}), times=9)],
    "bad row": [Fault("answer", answer=Answer(200, {"data": [{"id": None}]}), times=9)],
    "incomplete": [Fault("wrong-total", times=99)],
}


CASES = [
    *(("TALKOVER_TOKEN", fault) for fault in FAULTS),
    *((place, "none") for place in ("SOURCES__TALKOVER__API_TOKEN", "secrets.toml", "environments")),
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
