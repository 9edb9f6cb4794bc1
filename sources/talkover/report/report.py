"""`talkover report`: the notebooks, run and put into one HTML file that needs no network and no script.

    views → notebooks/*.ipynb → report.html

Running it again replaces the file as a whole, or leaves it as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..errors import ConfigurationError, ReportError
from ..sync.tables import RESOURCES
from ..text import visible
from .account import STALE_DAYS, Account
from .findings import kinds_of_findings
from .first_screen import actions, bill, changes, converted, lines, savings
from .kernel import bounded, kernel, notebooks_folder, notebooks_of, run
from .rates import Rates
from .wording import MARKDOWN, count, listed

HOW_TO = "how-to"
"""Tag of the cells that explain how to run a notebook: the reader of a report need not know."""
Say = Callable[[str], None]


@dataclass
class Section:
    """A notebook as HTML, without its code. `contents` holds the id, text and level of each heading."""

    contents: list[tuple[str, str, int]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def html(self) -> str:
        return "\n".join(self.parts)


def write_report(account: Account, out: Path, say: Say = lambda _: None, *, rates: Rates | None = None) -> None:
    """Runs the notebooks on `account` and writes `out`. `say` is given the progress; `rates` make one total.

    Raises ReportError where a notebook fails or the file cannot be written; there is no half-written file then.
    """
    folder = notebooks_folder()
    with bounded():
        front = front_page(account, rates)  # before the notebooks: what cannot be reported on fails at once
        names = notebooks_of(account)
    sections = []
    say(f"{names[0]} (1 of {len(names)})")
    with kernel(names[0]) as client:
        for place, name in enumerate(names, start=1):
            say(f"{name} ({place} of {len(names)})")
            sections.append(to_section(run(folder / f"{name}.ipynb", account, client), name))
    say("writing")
    pages = Environment(
        loader=PackageLoader("talkover.report", "."), autoescape=True, undefined=StrictUndefined, finalize=_shown
    )
    html = pages.get_template("report.html").render(sections=sections, **front)
    with replacing(out) as part:
        part.write_text(html, encoding="utf-8")


def _shown(value: Any) -> Any:
    """What is put into the page, where it is text: of what is HTML already each cell has gone through `visible`."""
    return visible(value) if type(value) is str else value


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A file to write, beside `out`, which takes its place once it is whole; else nothing is left of it.

    Raises ReportError.
    """
    try:
        # a folder of its own: in one that others write to, a name that they foresee could be a link of theirs
        with TemporaryDirectory(prefix=".talkover-", dir=out.parent) as folder:
            part = Path(folder) / f"part{out.suffix}"
            yield part
            part.replace(out)
    except OSError as error:
        raise ReportError(f"cannot write {out}: {error.strerror}") from None


def refuse_unwritable(out: Path) -> None:
    """Raises ConfigurationError where no report can be written to `out`."""
    try:
        if out.exists() and not out.is_file():
            what = "it is a folder: name a file in it" if out.is_dir() else "it is not a file"
        elif not out.parent.is_dir():
            what = f"there is no folder {out.parent}"
        elif not os.access(out.parent, os.W_OK):
            what = f"{out.parent} is not writable"
        else:
            return
    except OSError as error:
        what = str(error.strerror)
    raise ConfigurationError(f"cannot write {out}: {what}")


def to_section(notebook: Any, name: str) -> Section:
    """What a reader sees of an executed notebook."""
    section = Section()
    for cell in notebook.cells:
        if HOW_TO in cell.metadata.get("tags", ()):
            continue
        if cell.cell_type == "markdown":
            section.parts.append(_markdown(cell.source, name, section))
            continue
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "text/markdown" in data:
                section.parts.append(_markdown(data["text/markdown"], name, section))
            elif "text/html" in data:
                section.parts.append(data["text/html"])
    return section


def _markdown(text: str, name: str, section: Section) -> str:
    """As HTML, each heading one level lower than in the notebook, and in the contents."""
    tokens = MARKDOWN.parse(text)
    for place, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            level = int(token.tag[1]) + 1
            token.tag = f"h{level}"
            if token.type == "heading_open":
                id = f"{name}-{len(section.contents)}"
                token.attrSet("id", id)
                heading = "".join(part.content for part in tokens[place + 1].children or ())
                section.contents.append((id, heading, level))
    return str(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}))


def front_page(account: Account, rates: Rates | None) -> dict[str, Any]:
    """What stands above the notebooks, by its name in report.html."""
    health = account.view("data_health")
    health = health[health["resource"].isin(RESOURCES)]  # calls say in their own section how far they go
    oldest = health["last_complete_listing_at"].min()
    ages = health["age_days"].dropna()
    # another pipeline may have loaded the others a moment before
    left_behind = list(
        health["environment"][~health["was_in_last_load"].astype(bool) & (health["age_days"] > 0)].unique()
    )
    findings = account.view("findings")
    of_currencies, saved = lines(account), savings(findings)
    return {
        "names": listed(account.names.values()),
        "month": f"{account.months[-1]:%B %Y}",
        "listed_at": "never" if pd.isna(oldest) else f"{oldest.day} {oldest:%B %Y, %H:%M} UTC",
        "age": ("today" if not ages.max() else f"{count(int(ages.max()), 'day')} ago") if len(ages) else "never",
        "is_stale": bool(len(health)) and (not len(ages) or int(ages.max()) > STALE_DAYS),
        "left_behind": listed(left_behind) if left_behind else "",
        "is_incomplete": not bool(health["last_listing_was_complete"].fillna(False).all()),
        "is_unfinished": bool(health["load_is_unfinished"].astype(bool).any()),
        "written_at": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "lines": of_currencies,
        "changes": changes(of_currencies),
        "converted": converted(account, rates),
        "savings": listed(saved) if saved else "",
        "actions": actions(findings, bill(account)),
        "kinds": kinds_of_findings(findings),
    }
