"""Who is on a call: our side, and what is kept of the other."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest

from talkover import caller_hash
from talkover.api.columns import read_table
from talkover.api.fields import CALL
from talkover.errors import ConfigurationError, InvalidRow
from talkover.sync.parties import KEY_FILE, CallerKey, caller_key, with_parties

OURS, PERSON = "+14155550100", "+5511987654321"
KEY = CallerKey(b"a key of the tests")


def parties(*, held: list[str | None] | None = None, keep: bool = False, **call: Any) -> dict[str, Any]:
    """The columns of the two sides of a call."""
    rows = read_table(CALL, [{"id": "c-1", **call}], "test")
    made = with_parties(rows, pa.chunked_array([pa.array(held or [], pa.string())]), KEY, keep=keep)
    return {name: value for name, value in made.to_pylist()[0].items() if name.startswith(("phone_", "party_"))}


@pytest.mark.parametrize(
    ("call", "held"),
    [
        pytest.param({"from": OURS, "to": PERSON, "direction": "outbound"}, [], id="outbound"),
        pytest.param({"from": PERSON, "to": OURS, "direction": "inbound"}, [], id="inbound"),
        pytest.param({"from": PERSON, "to": OURS}, [OURS], id="without direction, to a held number"),
        pytest.param({"from": OURS, "to": PERSON}, [None, OURS], id="without direction, from a held number"),
        pytest.param({"from": OURS, "to": PERSON, "direction": "inbound"}, [OURS], id="what is held goes first"),
        pytest.param({"from": OURS, "to": PERSON, "direction": "outbound"}, [OURS, PERSON], id="both are held"),
        pytest.param({"from": PERSON, "to": "14155550100", "direction": "inbound"}, [OURS], id="without plus"),
        pytest.param({"from": PERSON, "to": 14155550100, "direction": "inbound"}, [OURS], id="as a JSON number"),
        pytest.param({"from": "+55 (11) 98765-4321", "to": OURS, "direction": "inbound"}, [], id="as it is written"),
    ],
)
def test_our_side_is_told_from_the_other(call: dict[str, Any], held: list[str | None]) -> None:
    assert parties(held=held, **call) == {
        "phone_number": OURS,
        "party_country_code": "BR",
        "party_hash": KEY.hash("5511987654321"),
        "party_number": None,
    }


@pytest.mark.parametrize(
    "call",
    [
        pytest.param({"from": OURS, "to": PERSON}, id="no direction"),
        pytest.param({"from": OURS, "to": PERSON, "direction": "sideways"}, id="a strange direction"),
        pytest.param({"from": None, "to": None}, id="no numbers"),
    ],
)
def test_where_it_is_not_known_which_side_is_ours_none_is_kept(call: dict[str, Any]) -> None:
    """Either may be a person's."""
    assert set(parties(keep=True, **call).values()) == {None}


@pytest.mark.parametrize("withheld", ["anonymous", "", None, "Restricted"])
def test_a_withheld_number_is_nobodys(withheld: str | None) -> None:
    found = parties(to=OURS, direction="inbound", **{"from": withheld})
    assert found == {"phone_number": OURS, "party_country_code": None, "party_hash": None, "party_number": None}


def test_the_number_itself_is_kept_only_where_that_was_asked_for() -> None:
    call = {"from": PERSON, "to": OURS, "direction": "inbound"}
    assert parties(keep=True, **call)["party_number"] == PERSON
    assert parties(**call)["party_number"] is None


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+14155550100", "US"),
        ("+14165550100", "CA"),
        ("+551130000000", "BR"),
        ("+442079460000", "GB"),
        ("+80012345678", None),
        ("+9991234567", None),
        ("123", None),
    ],
)
def test_the_country_is_the_numbers(number: str, country: str | None) -> None:
    assert parties(to=OURS, direction="inbound", **{"from": number})["party_country_code"] == country


def test_a_hash_is_of_the_key_and_never_changes() -> None:
    """If this fails, every caller of every user counts twice from now on."""
    assert KEY.hash("5511987654321") == "a0c77fb2b3cdc8db"
    assert KEY.id == "0c1265d5b163f213"
    assert CallerKey(b"another key").hash("5511987654321") != KEY.hash("5511987654321")
    assert KEY.id != KEY.hash("key")


def test_the_first_run_makes_a_key_that_only_its_owner_reads(caplog: pytest.LogCaptureFixture) -> None:
    file = Path(dlt.current.run_context().data_dir) / KEY_FILE
    made = caller_key(None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in caplog.text
    assert made.secret.decode() not in caplog.text
    assert caller_key(None) == made
    assert caller_key("one that is configured") != made


def test_a_key_that_cannot_be_made_is_asked_for() -> None:
    file = Path(dlt.current.run_context().data_dir) / KEY_FILE
    file.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="set caller_key"):
        caller_key(None)
    file.rmdir()
    file.write_text("\n")
    with pytest.raises(ConfigurationError, match="holds no key: delete it"):
        caller_key(None)


def test_the_hash_of_a_person_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """To delete their calls. Where there is no key none is made: nothing would be found by it."""
    with pytest.raises(ConfigurationError, match="no run has made a key here"):
        caller_hash("+55 11 98765-4321")
    made = caller_key(None)
    assert caller_hash("+55 11 98765-4321") == made.hash("5511987654321")
    monkeypatch.setenv("SOURCES__TALKOVER__CALLER_KEY", "a key of the tests")
    assert caller_hash("+5511987654321") == KEY.hash("5511987654321")


def test_an_error_does_not_quote_a_persons_number() -> None:
    with pytest.raises(InvalidRow, match=r"id 'c-1': from .* but is a value that may be personal") as error:
        read_table(CALL, [{"id": "c-1", "from": [PERSON], "to": OURS}], "test")
    assert PERSON not in str(error.value)
