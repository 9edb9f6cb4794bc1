"""The report as a mail, with the lines of docs/schedulers.md, by curl and to an SMTP server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pypdf import PdfReader

from .conftest import Connector
from .environments import ROOT
from .mail_server import AUTHORITY, PASSWORD, UNKNOWN, USER, MailServer, attachments, mail_server
from .test_schedulers import BROWSER, clean_environ, code_of, commands_of_crontab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.duckdb,  # the destination does not matter here
]
needs_curl = pytest.mark.environment
FIRST_SCREEN = "What changed this month"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


class Folder:
    """The folder of the docs. The mail is that of the example, but for the server and the password."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "pipelines").symlink_to(ROOT / "pipelines")
        set_up, crontab, _ = code_of("Mailing the report")
        (copy,) = re.findall(r"^cp .+", set_up, re.MULTILINE)
        self._monthly, _ = commands_of_crontab(crontab)
        assert self.run(copy).returncode == 0
        self.change("smtp://mail.example.com:587", f"smtp://localhost:{port}")
        self.change(f"{USER}:password", f"{USER}:{PASSWORD}")
        self.change("ssl-reqd", f'ssl-reqd\ncacert = "{AUTHORITY}"')

    def change(self, old: str, new: str) -> None:
        """Another setting of the mail."""
        text = (self._folder / "mail.conf").read_text()
        assert text.count(old) == 1
        (self._folder / "mail.conf").write_text(text.replace(old, new))

    def without_pdf(self) -> None:
        self.change('form = "=@report.pdf;encoder=base64"\n', "")

    def mail(self, browser: str = "no-browser-here") -> subprocess.CompletedProcess[str]:
        """What the line for cron ends with. Nothing is left of it, and nobody reads the password in what it prints."""
        with TemporaryDirectory() as temporary:  # the name of a socket, which chromium makes there, must be short
            done = self.run(self._monthly, CHROMIUM=browser, TMPDIR=temporary)
            assert os.listdir(temporary) == []
        assert PASSWORD not in done.stdout + done.stderr
        return done

    def run(self, line: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", line.replace("/srv/talkover", str(self._folder))],
            cwd=self._folder,
            env=clean_environ(self._folder, DLT_DATA_DIR=os.environ["DLT_DATA_DIR"], **settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def folder(workspace: Path, server: MailServer) -> Folder:
    return Folder(workspace, server.port)


@needs_curl
def test_the_report_arrives_as_a_page_and_a_workbook(loaded: Connector, folder: Folder, server: MailServer) -> None:
    """Without a browser: then nothing asks for one."""
    folder.without_pdf()
    folder.change("# form = ", "form = ")
    done = folder.mail()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (mail,) = server.mails
    assert server.recipients == ["board@example.com", "finance@example.com"]
    assert mail["From"] == "Talkover <talkover@example.com>"
    assert mail["To"] == "board@example.com, finance@example.com"
    assert mail["Subject"] == "What our phone numbers cost"
    assert mail["Date"].datetime is not None
    assert mail["Message-ID"]
    body = mail.get_body()
    assert body is not None
    assert body.get_content().startswith("The report is attached.")
    attached = attachments(mail)
    assert [*attached] == ["report.html", "report.xlsx"]
    assert FIRST_SCREEN in attached["report.html"].decode()
    assert attached["report.xlsx"].startswith(b"PK")


@pytest.mark.browser
def test_the_report_arrives_as_a_pdf_and_as_a_page(loaded: Connector, folder: Folder, server: MailServer) -> None:
    done = folder.mail(BROWSER)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    attached = attachments(server.mails[0])
    assert [*attached] == ["report.pdf", "report.html"]
    assert attached["report.pdf"].startswith(b"%PDF")
    first, *others = PdfReader(BytesIO(attached["report.pdf"])).pages
    assert FIRST_SCREEN in first.extract_text()
    assert others


@needs_curl
def test_nothing_leaves_where_there_is_no_new_report(workspace: Path, folder: Folder, server: MailServer) -> None:
    """The report of an earlier day lies in the folder."""
    for name in ("report.html", "report.pdf", "report.xlsx"):
        (workspace / name).write_text("of an earlier day")
    done = folder.mail()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "run `talkover load` first" in done.stderr
    assert (server.mails, server.tries) == ([], [])


@needs_curl
@pytest.mark.parametrize("browser", ["no-browser-here", "true"])
def test_nothing_leaves_without_the_pdf_that_the_mail_is_to_have(
    browser: str, loaded: Connector, folder: Folder, server: MailServer
) -> None:
    """`true` ends well and writes nothing, as chromium does on a full disk."""
    done = folder.mail(browser)
    assert (done.returncode, done.stdout) == (1, "")
    *cause, sentence = done.stderr.splitlines()
    assert sentence == "talkover: the report could not be printed as a PDF, so no mail was sent"
    assert any(browser in line for line in cause) == (browser == "no-browser-here")
    assert (server.mails, server.tries) == ([], [])


@needs_curl
@pytest.mark.parametrize(
    ("old", "new", "exit_code", "says"),
    [
        pytest.param(PASSWORD, "another one", 67, "curl: (67) Login denied\n", id="wrong password"),
        pytest.param(
            'mail-rcpt = "finance@example.com"',
            f'mail-rcpt = "{UNKNOWN}"',
            55,
            "curl: (55) RCPT failed: 550\n",
            id="one recipient is refused",
        ),
    ],
)
def test_a_mail_that_is_refused_is_one_line_and_reaches_nobody(
    old: str, new: str, exit_code: int, says: str, loaded: Connector, folder: Folder, server: MailServer
) -> None:
    folder.without_pdf()
    folder.change(old, new)
    done = folder.mail()
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (exit_code, "", 1)
    assert done.stderr.startswith(says)
    assert server.mails == []


@needs_curl
def test_the_password_is_not_told_to_a_server_that_does_not_encrypt(loaded: Connector, workspace: Path) -> None:
    with mail_server(encrypts=False) as server:
        folder = Folder(workspace, server.port)
        folder.without_pdf()
        done = folder.mail()
        assert (done.returncode, done.stderr) == (64, "curl: (64) STARTTLS not supported.\n")
        assert (server.mails, server.tries) == ([], [])


@needs_curl
@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [("", 2, "see pipelines/example.mail.conf"), ("other.conf", 1, "other.conf: No such file or directory")],
)
def test_a_mail_that_is_not_described_is_refused_before_a_report_is_made(
    arguments: str, exit_code: int, says: str, folder: Folder
) -> None:
    done = folder.run(f"sh pipelines/mail_report.sh {arguments}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (exit_code, "", 1)
    assert says in done.stderr
