"""`talkover report`: one file, whole or not at all, that needs nothing but a browser."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from talkover import __version__
from talkover.cli import main

from .conftest import CHROMIUM
from .test_cli import read_to_the_end


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a demo account that was loaded five times."""
    folder = tmp_path_factory.mktemp("report")
    environment = {name: value for name, value in os.environ.items() if "__" not in name} | {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    for arguments in (
        ["load", "--demo", "--weeks", "20"],
        ["load", "--demo"],
        ["report", "--demo", "--since", "2026-08"],
    ):
        subprocess.run(
            [sys.executable, "-m", "talkover", *arguments], cwd=folder, env=environment, check=True, capture_output=True
        )
    return folder / "report.html"


@pytest.mark.slow
def test_it_says_whose_when_and_how_old(report: Path) -> None:
    text = report.read_text()
    assert "<title>Talkover phone numbers: demo</title>" in text
    assert re.search(r"August 2026 to \w+ 20\d\d. The list was last read whole on .* UTC \(today\)", text)
    assert f"by talkover {__version__}" in text
    assert "import " not in text
    assert "pip install" not in text, "the reader of a report does not run notebooks"


@pytest.mark.slow
def test_contents_lead_everywhere_and_findings_come_first(report: Path) -> None:
    text = report.read_text()
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', text)) == set(ids)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == [
        "Findings",
        "Monthly cost",
        "Capability mix",
        "Release requests",
    ]
    assert "Approved for release, yet still listed and paid for." in text


@pytest.mark.slow
def test_it_holds_no_script_and_names_no_address(report: Path) -> None:
    text = re.sub(r"data:image/svg\+xml;base64,[^\"]+", "", report.read_text())
    assert re.search(r"<script|<link|<iframe|https?://|@import|url\(", text) is None
    assert report.stat().st_size < 3e6


@pytest.mark.slow
def test_whoever_may_read_other_new_files_may_read_it(report: Path) -> None:
    other = report.with_name("other")
    other.touch()
    assert report.stat().st_mode == other.stat().st_mode


def test_a_wrong_argument_exits_2_and_writes_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--demo"]) == 0
    for arguments in (["--since", "soon"], ["--environment", "nowhere"]):
        assert main(["report", "--demo", *arguments]) == 2
    assert "is no month" in capsys.readouterr().err
    assert not (workspace / "report.html").exists()


def test_nothing_loaded_is_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "run `talkover load` first" in err


def test_a_notebook_that_fails_leaves_the_earlier_report(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "report.html").write_text("earlier")
    assert main(["load", "--demo"]) == 0
    broken = workspace / "notebooks"
    broken.mkdir()
    cells = [
        {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "source": "", "outputs": []},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": "1 / 0", "outputs": []},
    ]
    for cell in cells:
        cell["execution_count"] = None
    document: dict[str, Any] = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (broken / "monthly_cost.ipynb").write_text(json.dumps(document))
    monkeypatch.setattr("talkover.report.notebooks_folder", lambda: broken)
    assert main(["report", "--demo"]) == 1
    assert "notebook monthly_cost: ZeroDivisionError: division by zero" in capsys.readouterr().err
    assert (workspace / "report.html").read_text() == "earlier"
    assert [path.name for path in workspace.iterdir() if "html" in path.name] == ["report.html"]


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--demo"]) == 0
    assert main(["report", "--demo", "--out", "nowhere/report.html"]) == 1
    assert "cannot write nowhere/report.html: No such file or directory" in capsys.readouterr().err


def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "talkover.report", None)
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert main(["report"]) == 2
    assert "pip install '.[notebooks]'" in capsys.readouterr().err


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal(workspace: Path) -> None:
    assert main(["load", "--demo"]) == 0
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "talkover", "report", "--demo"], stdout=subprocess.PIPE, stderr=theirs
    ):
        os.close(theirs)
        shown = read_to_the_end(ours)
    assert "monthly_cost (1 of 3)" in shown
    assert "release_requests (3 of 3)" in shown


# In a real browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844), (320, 640)])
def test_it_reads_well_in_a_browser(width: int, height: int, browser: Any, report: Path) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    pictures = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width, i.alt])"
    )
    assert len(pictures) >= 10
    for is_complete, natural, shown, text in pictures:
        assert is_complete
        assert natural > 100
        assert shown > 250
        assert len(text) > 20
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requested if not url.startswith(("data:", "file:"))] == []
    assert [url for url in requested if url.startswith("file:")] == [report.as_uri()]
    assert complaints == []
    page.close()
