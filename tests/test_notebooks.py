"""The notebooks: committed clean, run on every destination, right to the cent, and sensible on any account."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from talkover import ConfigurationError, NothingLoaded, ReportError, read_view
from talkover.report.account import Account as Analysed
from talkover.report.costs import bridge, explained
from talkover.report.first_screen import NOTHING_TO_COMPARE, lines
from talkover.report.kernel import NOTEBOOKS, OF_CALLS, execute, notebooks_folder
from talkover.report.report import write_report
from talkover.sandbox import Account, Sandbox

from .conftest import TODAY, Connector, Histories, at
from .test_source import first

FOLDER = Path(__file__).parent.parent / "notebooks"
MOST_CELLS = 15
NOT_COMMITTED = re.compile(r"talq_\w|/(home|root|tmp|work|Users)/|[A-Z]:\\\\|https?://")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_committed_without_outputs_paths_or_secrets(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    cells = json.loads(text)["cells"]
    assert len(cells) <= MOST_CELLS
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert NOT_COMMITTED.search(text) is None
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in cells) == 1


def test_no_notebook_is_left_out_of_the_report() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NOTEBOOKS)
    assert notebooks_folder() == FOLDER


def said(notebook: Any) -> str:
    """What the first code cell of a notebook says, its headline."""
    return next(
        output["data"]["text/markdown"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "text/markdown" in output.get("data", {})
    )


def bold(text: str) -> list[str]:
    return re.findall(r"\*\*(.*?)\*\*", text)


def sums(costs: list[tuple[str | None, Decimal | None]]) -> set[str]:
    """Costs by currency as a notebook writes them."""
    totals: Counter[str] = Counter()
    for currency, cost in costs:
        totals[str(currency)] += cost or 0  # type: ignore[assignment]
    return {f"{total:,.2f} {currency}" for currency, total in totals.items() if total}


@pytest.mark.slow
@pytest.mark.core
@pytest.mark.essential
def test_headlines_are_those_of_the_views(connector: Connector, account: Account) -> None:
    connector.load(observed_at=at("2026-01-05T00:00:00"))
    account.advance(TODAY)
    connector.load()
    looked_at = Analysed(destination=connector.destination)
    numbers = connector.rows("current_numbers")
    requests = connector.rows("release_request_flow")

    notebook = execute(FOLDER / "monthly_cost.ipynb", looked_at)
    due = [row for row in connector.rows("renewal_calendar") if row["bucket"] == "renews"]
    assert all(cash in json.dumps(notebook) for cash in sums([(row["currency"], row["cash"]) for row in due]))
    headline = bold(said(notebook))
    assert headline[0] == f"{len(numbers)} numbers"
    assert set(headline[1:]) == sums([(row["currency"], row["monthly_cost"]) for row in numbers])

    headline = bold(said(execute(FOLDER / "capability_mix.ipynb", looked_at)))
    sets = Counter(row["capability_set"] for row in numbers if row["capability_set"] != "unknown")
    assert headline[:2] == [f"{len(numbers)} numbers", f"{len(sets)} capability sets"]
    assert sets[headline[2]] == sets.most_common(1)[0][1]

    text = said(execute(FOLDER / "release_requests.ipynb", looked_at))
    pending = sum(row["status"] == "pending" for row in requests)
    decided = [row["status"] for row in requests if row["status"] in ("approved", "rejected")]
    assert f"Waiting for a decision: **{pending} request" in text
    assert f"Approved: **{decided.count('approved') / len(decided):.0%}** of {len(decided)} decisions" in text
    at_stake = sums([(row["currency"], row["cost_at_stake"]) for row in requests if row["status"] == "pending"])
    assert all(cost in text for cost in at_stake)


@pytest.mark.slow
def test_money_is_written_in_the_digits_of_its_currency(sandbox: Sandbox, account: Account) -> None:
    for place, id in enumerate(list(account.numbers)):
        account.numbers[id] |= (
            {"currency": "KWD", "monthly_renewal_cost": "1.125"} if place < 3 else {"currency": "JPY"}
        )
        account.numbers[id] |= {"monthly_renewal_cost": 55} if place > 2 else {}
        if place > 4:
            del account.numbers[id]
    Connector(sandbox).load()
    notebook = execute(FOLDER / "monthly_cost.ipynb", Analysed())
    assert bold(said(notebook))[1:] == ["3.375 KWD", "110 JPY"]
    everything = json.dumps(notebook)
    assert "3.375 now" in everything
    assert "110 now" in everything
    assert re.search(r"\d\.\d\d (KWD|JPY)|110\.0", everything) is None


def load(*accounts: Account, **arguments: Any) -> None:
    """Loads each account into an environment of its own."""
    tokens = {f"talq_{n}": account for n, account in enumerate(accounts)}
    with Sandbox(tokens) as sandbox:
        environments = {f"env{n}": token for n, token in enumerate(tokens)}
        Connector(sandbox).load(api_token=None, environments=environments, **arguments)


def five_currencies() -> Account:
    account = Account(seed=3, size=40, founded=TODAY)
    for place, number in enumerate(account.numbers.values()):
        number["currency"] = ("USD", "EUR", "BRL", "GBP", "JPY", None)[place % 6]
    return account


def of_ids_alone() -> Account:
    account = Account(size=0, founded=TODAY)
    account.numbers = {id: {"id": id} for id in "abc"}
    account.requests = {"r": {"id": "r"}}
    return account


ACCOUNTS = {
    "empty": [Account(size=0, founded=TODAY)],
    "one number": [Account(size=1, founded=TODAY)],
    "only ids": [of_ids_alone()],
    "five currencies, two environments": [five_currencies(), Account(seed=9, size=12, founded=TODAY)],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param(accounts, id=name, marks=[] if len(accounts) > 1 or name == "empty" else pytest.mark.large)
        for name, accounts in ACCOUNTS.items()
    ],
)
def test_every_account_gives_a_report(accounts: list[Account], workspace: Path) -> None:
    load(*accounts)
    write_report(Analysed(), workspace / "out.html")
    html = (workspace / "out.html").read_text()
    assert len(html) < 3e6
    assert html.count("<h2") in (2 + len(NOTEBOOKS) - len(OF_CALLS), 3 + len(NOTEBOOKS) - len(OF_CALLS))
    assert "nan" not in re.sub(r"base64,[^\"]+", "", html).lower().replace("finance", "")
    if len(accounts) > 1:
        assert "env0 · USD" in html
        assert "env1 · USD" in html


@pytest.mark.slow
@pytest.mark.large
def test_a_report_on_twenty_thousand_numbers_stays_small(workspace: Path) -> None:
    account = Account(seed=4, size=20_000, founded=TODAY)
    with Sandbox(account, pagination="none") as sandbox:
        Connector(sandbox).load()
    write_report(Analysed(), workspace / "out.html")
    assert (workspace / "out.html").stat().st_size < 3e6


@pytest.mark.slow
def test_one_environment_and_a_month_to_begin_with(workspace: Path) -> None:
    load(Account(seed=1, size=5), Account(seed=2, size=7), observed_at=at("2026-01-05T00:00:00"))
    assert len(Analysed("env1").view("current_numbers")) == 7
    assert Analysed("env1").environments == ["env1"]
    months = Analysed(since="2026-03").months
    assert f"{months[0]:%Y-%m}" == "2026-03"
    assert months[-1] == read_view("monthly_cost")["month"].max()
    for wrong, says in (
        ("2026-13", "is not a month"),
        ("March", "is not a month"),
        ("2069-01", "after the last month"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            Analysed(since=wrong).months  # noqa: B018
    with pytest.raises(ConfigurationError, match="'env2' was never loaded. There are env0, env1"):
        Analysed("env2")


@pytest.fixture
def a_year_of_euros(sandbox: Sandbox, account: Account, histories: Histories) -> None:
    """Dollars since June; euros, and with them pounds that were dollars, since January."""
    connector = Connector(sandbox)

    def play() -> None:
        for number in account.numbers.values():
            number |= {"currency": "USD", "monthly_renewal_cost": "1.00"}
        connector.load(observed_at=at("2025-06-15T00:00:00"))
        account.buy().update(currency="EUR", monthly_renewal_cost="20.00", created_at="2025-03-01T00:00:00Z")
        first(account)["currency"] = "GBP"
        connector.load(observed_at=at("2026-01-15T00:00:00"))
        account.buy().update(currency="EUR", monthly_renewal_cost="5.00")
        connector.load(observed_at=at("2026-02-15T00:00:00"))

    histories.once("a year of euros", connector, play)


@pytest.mark.slow
@pytest.mark.usefixtures("a_year_of_euros")
def test_the_bridge_begins_with_what_the_first_load_found() -> None:
    for since in ("2025-06", "2026-01"):
        looked_at = Analysed(since=since)
        rows = bridge(looked_at.recent(looked_at.view("monthly_cost"))).set_index("currency")
        assert (rows["opening"]["EUR"], rows["added"]["EUR"], rows["closing"]["EUR"]) == (0, 25, 25)
        assert (rows["opening"]["USD"], rows["removed"]["USD"], rows["closing"]["USD"]) == (57, 1, 56)
        assert (rows["opening"] + rows["added"] - rows["removed"] + rows["repriced"] == rows["closing"]).all()


@pytest.mark.duckdb
def test_the_first_month_of_an_account_has_a_starting_point_and_no_change(loaded: Connector) -> None:
    looked_at = Analysed()
    rows = bridge(looked_at.view("monthly_cost"))
    assert len(rows) == len(looked_at.view("monthly_cost"))
    assert (rows["opening"] == rows["closing"]).all()
    assert all(line.why.startswith("first load on ") for line in lines(looked_at))
    assert {line.against_month for line in lines(looked_at)} == {NOTHING_TO_COMPARE}


@pytest.mark.slow
@pytest.mark.usefixtures("a_year_of_euros")
def test_a_number_that_changes_its_currency_did_not_leave(account: Account) -> None:
    looked_at = Analysed()
    approved = looked_at.view("release_requests", where={"status": "approved"})
    changes = explained(looked_at.view("cost_changes"), approved)
    moved = changes[(changes["phone_number_id"] == first(account)["id"]) & (changes["changed_at"] > "2026-01-01")]
    assert sorted(moved["change_type"]) == ["added", "removed"]
    assert set(moved["why"]) == {"moved between currencies or environments"}
    euros = changes[changes["currency"] == "EUR"]
    assert list(euros["why"]) == ["bought", "newly listed"], "the older one was bought before it was seen"


@pytest.mark.slow
def test_nothing_loaded_is_a_sentence_in_a_notebook_too(workspace: Path, sandbox: Sandbox) -> None:
    with pytest.raises(NothingLoaded):
        Analysed()
    Connector(sandbox).load()
    looked_at = Analysed()
    (workspace / "talkover_pipeline.duckdb").unlink()
    with pytest.raises(ReportError, match="monthly_cost: NothingLoaded: there is no .*talkover_pipeline.duckdb yet"):
        execute(FOLDER / "monthly_cost.ipynb", looked_at)
