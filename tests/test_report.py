"""`talkover report`: one file, whole or not at all, that needs nothing but a browser."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from talkover import ReportError, __version__
from talkover.cli import main
from talkover.report.account import Account
from talkover.report.kernel import NOTEBOOKS, execute
from talkover.report.report import replacing, write_report
from talkover.sandbox import Account as Demo

from .conftest import CHROMIUM, Connector
from .test_cli import read_to_the_end
from .test_notebooks import five_currencies, load

pytestmark = [
    pytest.mark.xdist_group("report"),  # one process makes it for all of them
    pytest.mark.duckdb,  # the destination does not matter here
]

TERMINAL = "terminal.txt"
PICTURE = Path(__file__).parent.parent / "docs/report.png"
MOST_PAGES = 8
WIDTHS = [(1280, 800), (390, 844), (320, 640)]
MADE = """
from datetime import date, timedelta
from talkover.cli import main

for days in range(400, 0, -30):
    assert main(["load", "--demo", "--observed-at", str(date.today() - timedelta(days))]) == 0
assert main(["load", "--demo"]) == 0
assert main(["report", "--demo"]) == 0
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a demo account that was loaded each month and is loaded today, written before a terminal."""
    folder = tmp_path_factory.mktemp("report")
    environment = {name: value for name, value in os.environ.items() if "__" not in name} | {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", MADE]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as making:
        os.close(theirs)
        shown = read_to_the_end(ours)
    assert making.returncode == 0, shown
    (folder / TERMINAL).write_text(shown)
    return folder / "report.html"


@pytest.mark.slow
def test_it_says_whose_when_and_how_old(report: Path) -> None:
    text = report.read_text()
    assert "<title>Talkover phone numbers: Production</title>" in text
    assert re.search(r"<h1>Talkover phone numbers: Production, \w+ 20\d\d</h1>", text)
    assert re.search(r"Data as of .* UTC \(today\)", text)
    assert f"by talkover {__version__}" in text
    assert "import " not in text
    assert "pip install" not in text, "the reader of a report does not run notebooks"


@pytest.mark.slow
def test_the_first_screen_leads_and_links_go_everywhere(report: Path) -> None:
    text = report.read_text()
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]+)"', text)) == set(ids)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == [
        "What changed this month",
        "What to do",
        "Findings",
        "Monthly cost",
        "Capability mix",
        "Release requests",
    ]
    assert "Release approved more than 7 days ago, but still listed and paid for." in text


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


def test_no_name_that_is_written_to_can_be_foreseen(tmp_path: Path) -> None:
    """In a folder that others write to it could be a link, and what that leads to would be written over."""
    parts = []
    for _ in range(2):
        with replacing(tmp_path / "out.html") as part:
            part.write_text("report")
            parts.append(part)
            assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
            assert part.parent.parent == tmp_path, "it is moved, not copied"
    assert parts[0] != parts[1]
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("out.html", "report")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "soon"], "since='soon' is not a month: write it as 2026-01"),
        (["--since", "٢٠٢٦-01"], "since='٢٠٢٦-01' is not a month: write it as 2026-01"),
        (["--since", "2069-02"], "since='2069-02' is after the last month, "),
        (["--environment", "nowhere"], "environment 'nowhere' was never loaded. There are default"),
    ],
)
def test_a_wrong_argument_exits_2_before_a_notebook_runs(
    arguments: list[str], says: str, loaded: Connector, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"talkover: {says}")
    assert err.count("\n") == 1
    assert not (workspace / "report.html").exists()


@pytest.mark.parametrize(
    ("out", "says"),
    [
        (".", "it is a folder: name a file in it"),
        ("", "it is a folder: name a file in it"),
        ("pipe", "it is not a file"),
        ("nowhere/report.html", "there is no folder nowhere"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_read(
    out: str, says: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a pipe or a device only the name would be left, and a file behind it."""
    os.mkfifo("pipe")
    assert main(["report", "--out", out]) == 2
    err = capsys.readouterr().err
    assert err == f"talkover: cannot write {out or '.'}: {says}\n"
    assert (workspace / "pipe").is_fifo()


def test_nothing_loaded_is_one_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "run `talkover load` first" in err


def notebook_of(code: str) -> Path:
    """A notebook of one cell, in the working folder."""
    cells = [
        {
            "cell_type": "code",
            "id": id,
            "metadata": {"tags": tags},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for id, tags, source in (("a", ["parameters"], ""), ("b", [], code))
    ]
    path = Path("one.ipynb")
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.mark.slow
def test_a_notebook_that_fails_leaves_the_earlier_report(
    workspace: Path, loaded: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "report.html").write_text("earlier")
    broken = workspace / "notebooks"
    broken.mkdir()
    notebook_of("1 / 0").rename(broken / "monthly_cost.ipynb")
    monkeypatch.setattr("talkover.report.report.notebooks_folder", lambda: broken)
    assert main(["report"]) == 1
    assert "notebook monthly_cost: ZeroDivisionError: division by zero" in capsys.readouterr().err
    assert (workspace / "report.html").read_text() == "earlier"
    assert [path.name for path in workspace.iterdir() if "html" in path.name] == ["report.html"]


def printed(code: str) -> str:
    """What `code` prints in a notebook of the report."""
    notebook = execute(notebook_of(code), Account())
    return "".join(output["text"] for output in notebook.cells[-1].outputs)


@pytest.mark.slow
def test_the_interpreter_is_the_one_that_runs_talkover(
    workspace: Path, loaded: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Jupyter and IPython have been told to run."""
    kernel = workspace / "jupyter/kernels/python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "Mine", "language": "python"}')
    startup = workspace / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    for file in (startup / "00.py", startup.parent / "ipython_kernel_config.py", workspace / "mine.py"):
        file.write_text(f"open({str(workspace / 'ran')!r}, 'a')")
    monkeypatch.setenv("JUPYTER_PATH", str(workspace / "jupyter"))
    monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "nobody")
    monkeypatch.setenv("IPYTHONDIR", str(workspace / "ipython"))
    monkeypatch.setenv("PYTHONSTARTUP", str(workspace / "mine.py"))
    assert printed("import sys; print(sys.executable)") == f"{sys.executable}\n"
    assert not (workspace / "ran").exists()


@pytest.mark.slow
def test_no_file_of_the_working_folder_is_imported(workspace: Path, loaded: Connector) -> None:
    names = {
        "duckdb",
        "pandas",
        "talkover",
        "ipykernel",
        "ipykernel_launcher",
        "matplotlib",
        "jinja2",
        "dlt",
        "sitecustomize",
    }
    for name in names | set(sys.stdlib_module_names):
        Path(f"{name}.py").write_text(f"raise SystemExit('{name} of the folder')")
    code = "import os, duckdb, pandas, talkover.report.charts, jinja2, random, queue; print(os.getcwd())"
    assert printed(code) == f"{workspace}\n"


@pytest.mark.slow
def test_a_report_needs_no_home(loaded: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    assert printed("print(1)") == "1\n"


@pytest.mark.slow
def test_a_kernel_that_does_not_start_is_one_line(loaded: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ReportError, match="notebook one: Kernel died before replying to kernel_info"):
        printed("print(1)")


WITH_SHORT_NOTEBOOKS = """
import sys
from pathlib import Path
import talkover.report.report
from talkover.cli import main

talkover.report.report.notebooks_folder = Path.cwd
sys.exit(main(["report"]))
"""


@pytest.mark.slow
def test_a_service_that_has_no_streams_writes_a_report(workspace: Path, loaded: Connector) -> None:
    for name in NOTEBOOKS:
        notebook_of("print(1)").rename(f"{name}.ipynb")
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", WITH_SHORT_NOTEBOOKS]
    assert subprocess.run(command, check=False).returncode == 0
    assert (workspace / "report.html").read_text().endswith("</html>")


def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "talkover.report.report", None)
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert main(["report"]) == 2
    assert "pip install '.[notebooks]'" in capsys.readouterr().err


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(report: Path) -> None:
    shown = report.with_name(TERMINAL).read_bytes().decode()
    assert "monthly_cost (1 of 3)" in shown
    assert "release_requests (3 of 3)" in shown
    assert shown.split("\r")[-2].strip() == "", "the line is wiped"


INTERRUPTED = """
import sys
from pathlib import Path
from talkover.report.account import Account
from talkover.report.kernel import execute

try:
    execute(Path(sys.argv[1]), Account())
except KeyboardInterrupt:
    print("interrupted")
"""


CHANNELS = """
import os, stat
from ipykernel.kernelapp import IPKernelApp

assert IPKernelApp.instance().transport == "ipc"
assert not stat.S_IMODE(os.stat(os.path.dirname(IPKernelApp.instance().ip)).st_mode) & 0o077
"""


@pytest.mark.slow
def test_nobody_else_on_the_machine_can_listen_to_a_notebook(loaded: Connector) -> None:
    execute(notebook_of(CHANNELS), Account())


@pytest.mark.slow
def test_ctrl_c_while_a_notebook_runs_ends_it_and_its_kernel(workspace: Path, loaded: Connector) -> None:
    endless = notebook_of("import os; print(os.getpid(), file=open('pid', 'w')); import time; time.sleep(100)")
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, endless], stdout=subprocess.PIPE, text=True) as running:
        pid = workspace / "pid"
        while not (pid.exists() and pid.read_text().endswith("\n")):
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=50)
    assert (running.returncode, printed) == (0, "interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


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


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_says_what_is_paid_and_what_to_do(width: int, height: int, browser: Any, report: Path) -> None:
    """On a phone the figures of every currency; at a desk also why they changed, and the actions."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(report.as_uri())
    ends = {name: page.locator(name).bounding_box() for name in ("h1", "header table", "section.do ol")}
    assert ends["header table"]["y"] + ends["header table"]["height"] <= height
    if width > 1000:
        assert ends["section.do ol"]["y"] + ends["section.do ol"]["height"] <= height
        if "UPDATE_DOCS" in os.environ:
            left, right = (
                page.locator("nav").bounding_box()["x"],
                ends["header table"]["x"] + ends["header table"]["width"],
            )
            bottom = ends["section.do ol"]["y"] + ends["section.do ol"]["height"] + 10
            clip = {"x": left, "y": 0, "width": right - left + 10, "height": bottom}
            page.screenshot(path=PICTURE, scale="css", clip=clip)
    page.close()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_no_cell_is_clipped(width: int, height: int, browser: Any, report: Path) -> None:
    assert clipped(browser, report, width, height) == []


@pytest.mark.browser
@pytest.mark.slow
def test_no_cell_is_clipped_where_there_are_many_currencies_and_environments(browser: Any, workspace: Path) -> None:
    load(five_currencies(), *(Demo(seed=seed, size=40) for seed in (5, 6)))
    write_report(Account(), workspace / "out.html")
    for width, height in WIDTHS:
        assert clipped(browser, workspace / "out.html", width, height) == [], width


def clipped(browser: Any, report: Path, width: int, height: int) -> list[str]:
    """The text of tables and cells that do not fit."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(report.as_uri())
    found: list[str] = page.eval_on_selector_all(
        "td, th, .table", "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    )
    page.close()
    return found


@pytest.mark.browser
@pytest.mark.slow
def test_it_prints_on_few_pages_and_splits_no_chart(browser: Any, report: Path, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.pdf(path=tmp_path / "report.pdf", tagged=True, prefer_css_page_size=True)
    charts = page.locator("figure").count()
    headings = set(page.locator("h2, h3, figcaption, caption").all_inner_texts())
    page.close()
    printed = PdfReader(tmp_path / "report.pdf")
    assert len(printed.pages) <= MOST_PAGES
    first = printed.pages[0].extract_text()
    assert "What to do" in first
    assert "Monthly cost by country" not in first, "the first page stands alone"
    assert f"1 / {len(printed.pages)}" in first
    pictures = [pages_of(figure) for figure in elements(printed, "/Figure")]
    assert len(pictures) >= charts > 0
    assert [pages for pages in pictures if len(pages) > 1] == []
    rows = [row for row in elements(printed, "/TR") if children(row)[0]["/S"] != "/TH"]  # headings repeat on each page
    assert rows
    assert [pages for pages in map(pages_of, rows) if len(pages) > 1] == []
    for place, sheet in enumerate(printed.pages[:-1], start=1):
        *_, last = [line for line in sheet.extract_text().splitlines() if not re.search(r" / \d+$|talkover", line)]
        assert last.strip() not in headings, f"a heading stands alone at the end of page {place}"


def elements(printed: PdfReader, kind: str) -> Iterator[Any]:
    """The elements of that kind in the structure that Chromium writes for screen readers."""
    todo = [printed.trailer["/Root"]["/StructTreeRoot"]]
    while todo:
        element = todo.pop()
        if element.get("/S") == kind:
            yield element
        todo += children(element)


def children(element: Any) -> list[Any]:
    inner = element.get("/K", [])
    inner = inner.get_object() if hasattr(inner, "get_object") else inner
    inner = inner if isinstance(inner, list) else [inner]
    resolved = [one.get_object() if hasattr(one, "get_object") else one for one in inner]
    return [one for one in resolved if isinstance(one, dict)]


def pages_of(element: Any) -> set[int]:
    """The pages that the element, and what is in it, stands on."""
    found = {element.raw_get("/Pg").idnum} if "/Pg" in element else set()
    return found.union(*map(pages_of, children(element)))
