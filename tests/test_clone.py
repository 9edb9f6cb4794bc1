"""A clone as docs/schedulers.md sets it up: `git pull` changes nothing that is its user's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import talkover
from talkover.sandbox import Sandbox

from .environments import ROOT
from .test_schedulers import code_of, commands_of_crontab

GIT = shutil.which("git") or "git"
SETTINGS = (".dlt/config.toml", ".dlt/secrets.toml", "mail.conf")
OUTPUT = ("loads.jsonl", "open.txt")
LATER = "9.9.9"


def git(*arguments: str) -> str:
    author = ["-c", "user.name=Upstream", "-c", "user.email=upstream@example.com"]
    done = subprocess.run([GIT, *author, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Upstream:
    """A repository with the files of this one as they are now, and what its authors do to it later."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "upstream.git")
        self._work = folder / "upstream"
        git("init", "--quiet", "--bare", self.address)
        here = ["--git-dir", self.address, "--work-tree", str(ROOT)]
        git(*here, "add", "--all")
        git(*here, "commit", "--quiet", "--message", "As it is here")

    def release(self) -> None:
        """Changes the code, and the settings that it ships."""
        git("clone", "--quiet", self.address, str(self._work))
        change(self._work / "sources/talkover/__init__.py", f'"{talkover.__version__}"', f'"{LATER}"')
        change(self._work / ".dlt/example.config.toml", "[runtime]", "# A new comment.\n[runtime]")
        change(self._work / ".dlt/example.secrets.toml", "api_token = ", "# A new comment.\napi_token = ")
        git("-C", str(self._work), "commit", "--quiet", "--all", "--message", "A later version")
        git("-C", str(self._work), "push", "--quiet")


class Clone:
    """The folder of the docs, where a user runs lines of the docs."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self._upstream = upstream

    def run(self, commands: str) -> str:
        """What they print; all of them must succeed."""
        commands = commands.replace("https://…", self._upstream.address).replace("/srv/talkover", str(self.folder))
        here = self.folder if self.folder.exists() else None
        done = subprocess.run(
            ["/bin/sh", "-ec", commands], cwd=here, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read(self, *files: str) -> dict[str, bytes]:
        return {file: (self.folder / file).read_bytes() for file in files}

    def changes(self) -> str:
        """What git would commit, or warn of."""
        return git("-C", str(self.folder), "status", "--porcelain")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.mark.environment
@pytest.mark.slow
def test_a_pull_brings_the_code_and_leaves_settings_and_output(
    workspace: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    upstream = Upstream(workspace)
    clone = Clone(workspace / "talkover", upstream)
    set_up, upgrade, crontab = code_of("cron")
    before_the_load, load_by_hand = set_up.rstrip().rsplit("\n", 1)
    clone.run(before_the_load)
    change(clone.folder / ".dlt/secrets.toml", "talq_your_environment_token", sandbox.token)
    settings = f'[sources.talkover]\nbase_url = "{sandbox.base_url}"\n'
    change(clone.folder / ".dlt/config.toml", "# [sources.talkover]\n", settings)
    (copy_mail,) = re.findall("^cp .+", code_of("Mailing the report")[0], re.MULTILINE)
    clone.run(copy_mail)
    clone.run(load_by_hand)
    for line in commands_of_crontab(crontab, *code_of("What to be woken for")):
        clone.run(line)
    kept = clone.read(*SETTINGS, *OUTPUT)
    assert clone.changes() == ""

    upstream.release()
    clone.run(upgrade)
    assert clone.changes() == ""
    assert clone.read(*kept) == kept
    assert clone.run(".venv/bin/talkover --version") == f"talkover {LATER}\n"
    for line in commands_of_crontab(crontab):
        clone.run(line)
    summaries = [json.loads(line) for line in (clone.folder / "loads.jsonl").read_text().splitlines()]
    assert [summary["resources"]["phone_numbers"]["unchanged"] for summary in summaries] == [57, 57]
