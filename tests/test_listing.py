"""How a listing is read, wherever it goes: pages, lists that move, filters, the guard, rows that are refused.

What a load makes of it is read from tables where it matters; the rest is asked of the client alone (see listings.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest

from talkover import ApiError, AuthenticationError, IncompleteListing, InvalidRow, SuspiciousRemoval, UnexpectedPayload
from talkover.api import client as client_module
from talkover.api.client import READINGS
from talkover.api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from talkover.api.listing import MAX_EMPTY_PAGES
from talkover.sandbox import Account, Fault, Sandbox
from talkover.sandbox.faults import Answer

from .conftest import TODAY, Connector, Row
from .listings import client, extract, fetch, ids, in_order, read_ids
from .test_source import first

pytestmark = pytest.mark.duckdb  # the destination does not matter here

# Every row arrives.


@pytest.mark.parametrize("size", [0, 1, 20, 57, 100, 101, 200, 1234])
@pytest.mark.parametrize("pagination", ["meta", "links", "none"])
def test_every_row_arrives_under_each_reading_of_pagination(size: int, pagination: Any) -> None:
    account = Account(size=size, founded=TODAY)
    with Sandbox(account, pagination=pagination) as sandbox:
        numbers, requests = fetch(sandbox), fetch(sandbox, RELEASE_REQUESTS)
    assert in_order(numbers) == list(account.numbers)
    assert in_order(requests) == list(account.requests)
    assert numbers.complete
    assert requests.complete


def test_a_request_that_comes_twice_is_one_row_whatever_else_it_says(sandbox: Sandbox, account: Account) -> None:
    """`updated_at` decides which one of two rows stands; no page documents it of a request, so it may be anything."""
    request = next(iter(account.requests.values()))
    rows = [*account.requests.values(), request | {"updated_at": "2026-01-01T00:00:00Z"}, request | {"reason": "last"}]
    answer = Answer(200, {"success": True, "data": rows})
    sandbox.faults = [Fault("answer", RELEASE_REQUESTS, answer=answer)]
    reasons = [row["reason"] for row in extract(sandbox, "release_requests") if row["id"] == request["id"]]
    assert reasons == ["last"]


@pytest.mark.parametrize("days", [(1, 2), (2, 1)])
def test_of_a_number_that_comes_twice_the_row_stands_that_was_updated_last(
    days: tuple[int, int], sandbox: Sandbox, account: Account
) -> None:
    rows = [first(account) | {"updated_at": f"2026-03-0{day}T00:00:00Z", "type": f"day {day}"} for day in days]
    sandbox.faults = [Fault("answer", PHONE_NUMBERS, answer=Answer(200, {"data": rows}), times=2)]
    assert [row["type"] for row in extract(sandbox, "phone_numbers")] == ["day 2"]


def test_a_server_that_caps_the_page_size_loses_nothing() -> None:
    account = Account(size=130, founded=TODAY)
    with Sandbox(account, largest_page=20, caps_pages=True) as sandbox:
        assert ids(fetch(sandbox)) == set(account.numbers)
        assert len(sandbox.seen) == 7


def test_a_server_that_refuses_the_page_size_is_asked_for_its_own() -> None:
    account = Account(size=45, founded=TODAY)
    with Sandbox(account, largest_page=50) as sandbox:
        connection = client(sandbox)
        assert ids(connection.fetch(PHONE_NUMBERS, read_ids)) == set(account.numbers)
        assert ids(connection.fetch(RELEASE_REQUESTS, read_ids)) == set(account.requests)
        sizes = [request.query.get("per_page") for request in sandbox.seen]
    assert sizes == ["100", None, None, None, None]  # refused once, then three pages and the requests


def test_pages_after_the_first_are_fetched_side_by_side_and_as_few_as_can_be() -> None:
    account = Account(size=1000, founded=TODAY)
    with Sandbox(account, latency=0.05) as sandbox:
        assert ids(fetch(sandbox, side_by_side=4)) == set(account.numbers)
        assert len(sandbox.seen) == 10
        assert sandbox.most_at_once == 4


# What an answer says of other pages. Here without a load: what the client lists of a server's answers.


class Told:
    """What the client lists of a server that gives one answer after the other, and a 401 to a request too many."""

    def __init__(self, *answers: Row | Answer, times: int = 1, is_whole: bool = True, **arguments: Any) -> None:
        script = [answer if isinstance(answer, Answer) else Answer(200, answer) for answer in answers] * times
        faults = [Fault("answer", answer=answer) for answer in script]
        with Sandbox(Account(size=0), faults=[*faults, Fault("401", times=99)]) as sandbox:
            try:
                self.listing = fetch(sandbox, **arguments)
            finally:
                self.asked: list[Mapping[str, str]] = [dict(request.query) for request in sandbox.seen]
        self.ids = in_order(self.listing)
        assert self.listing.complete == is_whole
        assert len(self.asked) == len(script), "an answer was not asked for"


def rows(ids: str, **words: Any) -> Row:
    """An answer with a row for each letter."""
    return {"data": [{"id": id} for id in ids], **words}


@pytest.mark.parametrize("size", [50, 57, 75])
@pytest.mark.parametrize(
    "pagination", ["meta", "links", "simple", "size", "more", "total", "nested", "wrapped", "cursor", "silent", "none"]
)
def test_no_way_to_tell_of_pages_loses_a_row_where_the_server_caps_the_page(pagination: Any, size: int) -> None:
    account = Account(size=size)
    with Sandbox(account, pagination=pagination, largest_page=25, caps_pages=True) as sandbox:
        listing = fetch(sandbox)
    assert in_order(listing) == list(account.numbers)
    assert listing.complete


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(rows("ab"), id="everything again"),
        pytest.param(rows("b"), id="a part of it again"),
        pytest.param(rows(""), id="an empty page"),
        pytest.param(Answer(404, {"message": "Not found."}), id="404"),
        pytest.param(Answer(400, {"message": "No such page."}), id="400"),
        pytest.param(Answer(422, {"message": "Invalid.", "errors": {"page": ["too large"]}}), id="422"),
    ],
)
def test_a_list_that_tells_nothing_of_pages_is_whole_when_a_look_at_the_next_brings_nothing_new(look: Any) -> None:
    told = Told(rows("ab"), look)
    assert told.ids == ["a", "b"]
    assert [query["page"] for query in told.asked] == ["1", "2"]


def test_a_list_that_tells_nothing_of_pages_is_read_as_far_as_a_page_brings_anything_new() -> None:
    assert Told(rows("ab"), rows("cd"), rows("e"), rows(""), times=2).ids == list("abcde")


@pytest.mark.parametrize(
    ("look", "error"),
    [
        (Answer(401, {}), AuthenticationError),
        (Answer(403, {"message": "Forbidden."}), AuthenticationError),
        (Answer(422, {"message": "Invalid.", "errors": {"type": ["unknown"]}}), ApiError),
        (Answer(422, {"message": "Invalid.", "errors": {"per_page": ["too large"]}}), ApiError),
        (Answer(500, {}), ApiError),
        (rows("", success=False), UnexpectedPayload),
    ],
)
def test_a_look_that_fails_proves_nothing(look: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Told(rows("ab"), look)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([Answer(422, {"errors": {"page": ["unknown"]}})], id="page 1"),
        pytest.param([rows("a", meta={"last_page": 2}), Answer(404, {})], id="a page up to the last"),
        pytest.param([rows("a", links={"next": "?page=2"}), Answer(404, {})], id="a page that is linked to"),
    ],
)
def test_a_page_that_must_be_there_and_is_refused_is_an_error(answers: list[Any]) -> None:
    with pytest.raises(ApiError):
        Told(*answers)


@pytest.mark.parametrize(
    "words",
    [
        {"total": 3},
        {"totalItems": 3},
        {"total_results": "3"},
        {"meta": {"totalCount": 3}},
        {"meta": {"page": {"total-records": 3}}},
        {"pagination": {"total_items": 3}},
        {"meta": {"pagination": {"total": 3, "count": 2, "per_page": 2}}},
        {"paging": {"TotalRows": 3}},
        {"page": {"totalElements": 3, "size": 2, "number": 1}},
        {"meta": {"total": 3, "per_page": 100, "last_page": None}},
    ],
    ids=str,
)
def test_a_total_is_read_in_its_usual_spellings_and_may_stand_on_page_1_alone(words: Row) -> None:
    told = Told(rows("ab", **words), rows("c"))
    assert (told.ids, told.listing.total) == (["a", "b", "c"], 3)


@pytest.mark.parametrize("link", [{}, {"links": {"next": None}}], ids=["no links", "a link to nothing"])
def test_a_total_and_a_page_size_tell_how_many_pages_there_are(link: Row) -> None:
    meta = {"total": 3, "per_page": 2}
    assert Told(rows("ab", meta=meta, **link), rows("c", meta=meta, **link)).ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ({"meta": {"last_page": 2}}, {"meta": {"last_page": 2}}),
        ({"totalPages": 2}, {"totalPages": 2}),
        ({"pagination": {"total_pages": "2"}}, {"pagination": {"total_pages": "2"}}),
        ({"meta": {"page": {"last-page": 2}}}, {"meta": {"page": {"last-page": 2}}}),
        ({"_meta": {}, "pageCount": 2}, {"pageCount": 2}),
        ({"links": {"next": "https://elsewhere.example/v2/all?page=2"}}, {"links": {"next": None}}),
        ({"_links": {"next": {"href": "/phone-numbers?page=2"}}}, {"_links": {"next": {"href": None}}}),
        ({"pagination": {"links": {"next": {"url": "?page=2"}}}}, {"pagination": {"links": {"next": ""}}}),
        ({"next": "http://127.0.0.1:1/?page=2#top"}, {"next": None}),
        ({"next": "http://[half/an?page=2"}, {"next": None}),
        ({"nextPageUrl": "?page=2"}, {"nextPageUrl": None}),
        ({"meta": {"next_page": 2}}, {"meta": {"next_page": None}}),
        ({"paging": {"nextPage": "2"}}, {"paging": {"nextPage": ""}}),
        ({"meta": {"next": 2}}, {"meta": {"next": False}}),
        ({"meta": {"has_more": True}}, {"meta": {"has_more": False}}),
        ({"pagination": {"hasNext": 1}}, {"pagination": {"hasNext": 0}}),
        ({"hasMore": "true"}, {"hasMore": "false"}),
        ({"page_info": {"hasNextPage": True, "endCursor": "x"}}, {"page_info": {"hasNextPage": False}}),
        ({"meta": {"last_page": 1}, "links": {"next": "?page=2"}}, {"meta": {"last_page": 2}, "links": {"next": None}}),
        ({"has_more": True, "links": {"next": None}}, {"has_more": False, "links": {"next": None}}),
    ],
    ids=str,
)
def test_a_next_page_is_asked_for_in_every_usual_way_to_speak_of_it(words: Row, end: Row) -> None:
    told = Told(rows("ab", **words), rows("c", **end), times=2)
    assert told.ids == ["a", "b", "c"]
    assert [query["page"] for query in told.asked] == ["1", "2", "1", "2"]
    assert {query["per_page"] for query in told.asked} == {"100"}


@pytest.mark.parametrize(
    ("words", "end", "sent_back"),
    [
        ({"meta": {"next_cursor": "x"}}, {"meta": {"next_cursor": None}}, {"cursor": "x"}),
        ({"nextCursor": "x/?="}, {"nextCursor": ""}, {"cursor": "x/?="}),
        ({"pagination": {"next_page_token": "x"}}, {"pagination": {"next_page_token": ""}}, {"page_token": "x"}),
        ({"nextPageToken": "x"}, {"nextPageToken": None}, {"pageToken": "x"}),
        ({"meta": {"next_offset": 2}}, {"meta": {"next_offset": None}}, {"offset": "2"}),
        ({"meta": {"next": "x"}}, {"meta": {"next": None}}, {"cursor": "x"}),
        ({"meta": {"cursor": {"current": None, "next": "x"}}}, {"meta": {"cursor": {"next": None}}}, {"cursor": "x"}),
        ({"pagination": {"cursor": "x", "has_more": True}}, {"pagination": {"has_more": False}}, {"cursor": "x"}),
        ({"cursor": "x", "hasMore": True}, {"cursor": "y", "hasMore": False}, {"cursor": "x"}),
        ({"links": {"next": "?cursor=x&q="}, "meta": {"next_cursor": "x"}}, {"links": {"next": None}}, {"cursor": "x"}),
        ({"meta": {"last_page": 2, "next_cursor": "x"}}, {"meta": {"last_page": 2}}, {"cursor": "x"}),
    ],
    ids=str,
)
def test_a_cursor_is_sent_back_under_its_usual_name_and_without_a_page(words: Row, end: Row, sent_back: Row) -> None:
    told = Told(rows("ab", **words), rows("c", **end), times=2)
    assert told.ids == ["a", "b", "c"]
    assert told.asked[1].items() >= sent_back.items()
    assert "page" not in told.asked[1]


def test_a_cursor_that_is_null_on_page_1_is_the_one_that_was_sent_and_ends_nothing() -> None:
    assert Told(rows("ab", cursor=None), rows("c", cursor=None), rows("", cursor=None), times=2).ids == ["a", "b", "c"]


def test_a_cursor_without_a_last_word_ends_where_a_look_brings_nothing_new() -> None:
    """The server knows no pages: the look brings page 1 again, and what that says of a next page is known, too."""
    assert Told(rows("ab", cursor="x"), rows("c"), rows("ab", cursor="x"), times=2).ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ({"links": {"next": "?page=2"}}, {"links": {"next": "?page=3"}}),
        ({"meta": {"has_more": True}}, {"meta": {"has_more": True}}),
        ({"meta": {"next_cursor": "x"}}, {"meta": {"next_cursor": "y"}}),
        ({"meta": {"last_page": 3}}, {"meta": {"last_page": 3}}),
        ({"meta": {"total": 3}}, {"meta": {"total": 3, "next_page": 3}}),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", ["ab", ""])
def test_an_empty_page_ends_nothing_while_the_api_speaks_of_another(words: Row, end: Row, first: str) -> None:
    last = rows("abc"[len(first) :], links={"next": None}, meta={"has_more": False})
    answers = [rows(first, **words), rows("", **end), last]
    assert Told(*answers, times=1 if "total" in words.get("meta", {}) else 2).ids == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        pytest.param(
            [rows("a", next="?page=2"), rows("b", next="?page=2")],
            "2 distinct rows on 2 pages: page 2 names a next page that was requested before",
            id="a link to itself",
        ),
        pytest.param(
            [rows("a", next="?page=2"), rows("", next="?page=1")], "page that was requested before", id="a link back"
        ),
        pytest.param(
            [rows("a", next_cursor="x"), rows("b", next_cursor="y"), rows("", next_cursor="x")],
            "page 3 names a next page that was requested before",
            id="cursors in a circle",
        ),
        pytest.param(
            [rows("ab", has_more=True), rows("ab", has_more=True)],
            "page 2 holds only rows of the pages before it",
            id="has_more without end",
        ),
        pytest.param(
            [rows("ab", last_page=2), rows("ab", last_page=2)],
            "page 2 holds only rows of the pages before it",
            id="a server that ignores the page",
        ),
        pytest.param(
            [rows("ab", total=3, has_more=False)],
            "2 distinct rows on 1 page, but the API's total is 3",
            id="a total above what came",
        ),
        pytest.param(
            [rows("ab", total=2, meta={"total": 3, "next": None})], "but the API's total is 3", id="two totals"
        ),
        pytest.param(
            [rows("ab", total=3), rows("c", total=4), rows("", total=4)],
            r"its pages name different totals \(3, 4\)",
            id="two totals on two pages",
        ),
        pytest.param([rows("ab"), rows("", total=3)], "but the API's total is 3", id="a total past the end"),
        pytest.param(
            [rows("ab", total=3, per_page=100), rows("ab", total=3, per_page=100)],
            "but the API's total is 3",
            id="a total of something else",
        ),
    ],
)
def test_words_that_contradict_themselves_are_an_error_and_no_loss(answers: list[Row], says: str) -> None:
    told = Told(*answers, times=READINGS, is_whole=False)
    assert re.search(says, str(told.listing.problem))


def test_a_total_that_is_right_outweighs_a_cursor_that_never_ends() -> None:
    assert Told(rows("ab", total=2, next_cursor="x"), rows("", total=2, next_cursor="x")).ids == ["a", "b"]


def test_empty_pages_without_end_are_an_error() -> None:
    empty = Fault("answer", times=9999, answer=Answer(200, rows("", has_more=True)))
    with Sandbox(Account(size=0), faults=[empty]) as sandbox:
        problem = fetch(sandbox).problem
        assert f"the last {MAX_EMPTY_PAGES + 1} pages were empty, and each announced" in str(problem)
        assert len(sandbox.seen) == READINGS * (MAX_EMPTY_PAGES + 1)


def test_more_pages_than_the_limit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_PAGES", 4)
    with Sandbox(Account(size=57), pagination="more") as sandbox:
        with pytest.raises(UnexpectedPayload, match="GET /phone-numbers .* has more than 4 pages"):
            fetch(sandbox, per_page=10)
        assert len(sandbox.seen) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"total": "fifty"}, "text as total instead of a count"),
        ({"meta": {"total": -1}}, "a number as meta.total instead of a count"),
        ({"meta": {"pagination": {"total": True}}}, "true or false as meta.pagination.total instead of a count"),
        ({"totalItems": 3.5}, "a number as totalItems instead of a count"),
        ({"meta": {"last_page": []}}, "a list as meta.last_page instead of a count"),
        ({"total": 2, "totalPages": 90_000}, "90000 pages for 2 rows"),
        ({"totalPages": 10**9}, "1000000000 pages; 100000 are the limit"),
        ({"has_more": "perhaps"}, "text as has_more instead of true or false"),
        ({"links": {"next": ["?page=2"]}}, "a list as links.next instead of an address, a page or a cursor"),
        ({"links": {"next": {"rel": "next"}}}, "an object as links.next instead of an address, a page or a cursor"),
        ({"next_cursor": "\ud800"}, "text as next_cursor instead of an address, a page or a cursor"),
        pytest.param({"total": "9" * 5000}, "text as total instead of a count", id="5000 digits"),
    ],
)
def test_words_of_a_wrong_type_are_an_error(words: Row, says: str) -> None:
    with pytest.raises(UnexpectedPayload, match=says):
        Told(rows("ab", **words))


@pytest.mark.parametrize(
    "data",
    [
        {"0": {"id": "a"}, "2": {"id": "b"}},
        {"current_page": 1, "data": [{"id": "a"}, {"id": "b"}], "links": [{"url": None, "label": "1"}]},
        {"data": {"0": {"id": "a"}, "2": {"id": "b"}}},
        {"items": [{"id": "a"}, {"id": "b"}]},
        {"phone_numbers": [{"id": "a"}, {"id": "b"}]},
    ],
    ids=str,
)
def test_rows_are_found_inside_the_usual_objects(data: Row) -> None:
    assert Told({"success": True, "data": data, "total": 2}).ids == ["a", "b"]


def test_a_paginator_inside_data_is_followed() -> None:
    first = {"data": [{"id": "a"}], "total": 2, "last_page": 2, "per_page": 1, "next_page_url": "?page=2"}
    last = {"data": [{"id": "b"}], "total": 2, "last_page": 2, "per_page": 1, "next_page_url": None}
    assert Told({"success": True, "data": first}, {"success": True, "data": last}).ids == ["a", "b"]


@pytest.mark.parametrize(
    "data",
    [
        {"items": [], "data": []},
        {"id": "a", "items": []},
        {"numbers": []},
        {"errors": []},
        {"data": None},
        {"data": {"data": []}},
        {"data": "none"},
    ],
    ids=str,
)
def test_an_object_that_may_be_anything_is_no_empty_list(data: Row) -> None:
    with pytest.raises(UnexpectedPayload, match="as 'data' instead of a list"):
        Told({"success": True, "data": data})


@pytest.mark.parametrize("pagination", ["meta", "links", "more", "total", "cursor", "silent"])
def test_filters_and_page_size_go_along_to_every_page(pagination: Any) -> None:
    account = Account(size=57)
    with Sandbox(account, pagination=pagination) as sandbox:
        listing = fetch(sandbox, per_page=10, filters={"type": "voice"})
        assert len(sandbox.seen) > 2
    assert {(request.query["type"], request.query["per_page"]) for request in sandbox.seen} == {("voice", "10")}
    assert listing.seen == {id for id, number in account.numbers.items() if number["type"] == "voice"}
    assert not listing.complete


@pytest.mark.parametrize("look", [rows(""), Answer(404, {})], ids=["an empty page", "404"])
def test_a_known_row_that_is_missing_before_the_look_is_looked_for_once_more(look: Any) -> None:
    assert Told(rows("ab"), look, rows("abc"), look, known={"c"}).ids == ["a", "b", "c"]


@pytest.mark.parametrize("drift", ["shrinking", "swapping"])
def test_a_row_that_slips_past_the_look_is_seen_by_a_second_reading(drift: str) -> None:
    """One number left between page 1 and the look, and the only row of page 2 moved to page 1."""
    account = Account(size=21)
    with Sandbox(account, pagination="silent", faults=[Fault(drift, page=2)]) as sandbox:
        listing = fetch(sandbox, per_page=20, known=list(account.numbers))
    assert ids(listing) == set(account.numbers)


# Lists that move while they are read.


PAGE_BY_PAGE = {"per_page": 20, "max_concurrent_requests": 1}
"""A list that moves does so between two pages then."""


@pytest.mark.parametrize("drift", ["shrinking", "growing", "swapping"])
@pytest.mark.parametrize("page", [2, 3])
def test_a_number_that_comes_or_goes_between_two_pages_hides_no_neighbour(
    drift: str, page: int, account: Account, sandbox: Sandbox
) -> None:
    held = set(account.numbers)
    sandbox.faults = [Fault(drift, page=page)]
    listing = fetch(sandbox, per_page=20, known=held)
    assert listing.complete
    assert ids(listing) == set(account.numbers) != held


@pytest.mark.slow
def test_a_number_that_comes_and_one_that_goes_between_two_pages_remove_no_neighbour(
    account: Account, loaded: Connector
) -> None:
    """The total stays right, and the neighbour is in the second reading alone. What went goes with the next run."""
    loaded.sandbox.faults = [Fault("swapping", "phone-numbers", page=2)]
    loaded.load(**PAGE_BY_PAGE)
    assert set(account.numbers) - set(loaded.by_id()) == set()
    removed = {row["id"] for row in loaded.rows("phone_number_changes") if row["change_type"] == "removed"}
    assert removed & set(account.numbers) == set()
    loaded.load()
    assert set(loaded.by_id()) == set(account.numbers)


def test_a_total_that_never_matches_loads_nothing(account: Account, loaded: Connector) -> None:
    before = loaded.state()
    account.release(first(account)["id"])
    loaded.sandbox.faults = [Fault("wrong-total", "phone-numbers", times=99)]
    with pytest.raises(IncompleteListing, match="56 distinct rows on 3 pages, but the API's total is 57"):
        loaded.load(per_page=20)
    assert loaded.state() == before


# The guard. Where exactly it stands is in test_changes.py.


@pytest.mark.parametrize(("released", "refused"), [(29, True), (28, False)])
def test_a_listing_that_lacks_over_half_of_the_numbers_is_refused(
    released: int, refused: bool, account: Account, loaded: Connector
) -> None:
    for id in list(account.numbers)[:released]:
        account.release(id)
    with pytest.raises(SuspiciousRemoval, match="57 were known: 29 would be removed") if refused else nullcontext():
        loaded.load()
    assert len(loaded.rows("phone_numbers")) == (57 if refused else 57 - released)


@pytest.mark.parametrize("endpoint", [PHONE_NUMBERS, RELEASE_REQUESTS])
def test_data_as_an_object_with_numeric_keys_is_a_list(endpoint: str, account: Account, sandbox: Sandbox) -> None:
    rows = account.numbers if endpoint == PHONE_NUMBERS else account.requests
    data = {str(2 * position): row for position, row in enumerate(rows.values())}
    sandbox.faults = [Fault("answer", endpoint, answer=Answer(200, {"success": True, "data": data}))]
    assert in_order(fetch(sandbox, endpoint)) == list(rows)


def test_more_pages_than_rows_are_not_asked_for(account: Account, sandbox: Sandbox) -> None:
    meta = {"current_page": 1, "per_page": 100, "total": 57, "last_page": 90_000}
    answer = Answer(200, {"data": list(account.numbers.values()), "meta": meta})
    sandbox.faults = [Fault("answer", answer=answer, times=99)]
    with pytest.raises(UnexpectedPayload, match="90000 pages for 57 rows"):
        fetch(sandbox)
    assert len(sandbox.seen) == 1


# New fields.


def test_two_new_fields_that_would_share_a_column_are_refused(account: Account, sandbox: Sandbox) -> None:
    first(account).update({"countryCode": "DE"})
    with pytest.raises(InvalidRow, match="field 'countryCode' would share column 'country_code'"):
        extract(sandbox, "phone_numbers")


@pytest.mark.parametrize(
    "wrong", [{"id": "x" * 9999, "ID": 1}, {"x" * 9999 + "\n": 1, "x" * 9999 + "\t": 1}, {"\x1b[2J\n": "\ud800"}]
)
def test_a_hostile_name_does_not_flood_the_error(wrong: Row, account: Account, sandbox: Sandbox) -> None:
    first(account).update(wrong)
    with pytest.raises(InvalidRow) as caught:
        extract(sandbox, "phone_numbers")
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_hundreds_of_new_fields_are_refused_before_a_table_gets_them(account: Account, connector: Connector) -> None:
    first(account).update({f"field {n}": n for n in range(501)})
    with pytest.raises(InvalidRow, match="more than 500 fields that are not documented"):
        connector.load()
    assert connector.rows("phone_numbers") == []


# Bad rows.


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        pytest.param({"id": None}, "id None: id must be text, but is None", id="null id"),
        pytest.param({"id": " "}, "id ' ': id must not be empty, but is ' '", id="empty id"),
        pytest.param({"current_price": "free"}, "current_price must be an amount, but is 'free'", id="price"),
        pytest.param(
            {"current_price": 1.23456},
            "current_price has more than 4 digits after the point, but is 1.23456",
            id="places",
        ),
        pytest.param(
            {"current_price": f"1e{'9' * 20}"}, "current_price must be an amount, but is '1e9*'", id="endless price"
        ),
        pytest.param({"days_until_monthly_renewal": "1e999999999"}, "is more than a million days", id="endless days"),
        pytest.param({"number": "+49\ud800"}, "number holds half a character", id="lone surrogate"),
        pytest.param({"has_sms": "yes"}, "has_sms must be true or false, but is 'yes'", id="boolean"),
        pytest.param({"renewal_date": "2026-02-30"}, "renewal_date .* but is '2026-02-30'", id="impossible date"),
        pytest.param({"agents": [{"name": "Ana"}]}, "agents.0.id is required, but is missing", id="agent without id"),
    ],
)
def test_a_bad_row_is_named_with_its_endpoint_id_field_and_value(
    wrong: Row, complaint: str, account: Account, sandbox: Sandbox
) -> None:
    first(account).update(wrong)
    with pytest.raises(InvalidRow, match=rf"GET /phone-numbers .*: row 0 of a page, .*{complaint}"):
        extract(sandbox, "phone_numbers")


def test_a_row_without_id_is_refused(account: Account, sandbox: Sandbox) -> None:
    del first(account)["id"]
    with pytest.raises(InvalidRow, match="id None: id is required, but is missing"):
        extract(sandbox, "phone_numbers")


def test_a_bad_row_ends_the_run_before_anything_is_loaded_and_the_next_good_one_loads_it(
    account: Account, loaded: Connector
) -> None:
    before, good = loaded.state(), dict(first(account))
    account.release(list(account.numbers)[1])
    first(account)["renewal_date"] = "2026-02-30"
    with pytest.raises(InvalidRow):
        loaded.load()
    assert loaded.state() == before
    first(account).update(good | {"type": "fax"})
    loaded.load()
    assert loaded.by_id()[good["id"]]["type"] == "fax"


# Filters.


@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ({"type": "voice"}, {"type": "voice"}),
        ({"has_whatsapp": True}, {"has_whatsapp": "true"}),
        ({"has_voice": False}, {"has_voice": "false"}),
        ({"search": "+1"}, {"search": "+1"}),
    ],
)
def test_a_filter_is_sent_as_the_api_documents_it(filters: Row, query: dict[str, str], sandbox: Sandbox) -> None:
    assert 0 < len(extract(sandbox, "phone_numbers", **filters)) < 57
    assert sandbox.seen[0].query.items() >= query.items()


def test_a_filtered_listing_never_removes_what_it_did_not_ask_for(account: Account, loaded: Connector) -> None:
    summary = loaded.load(type="voice")
    assert 0 < summary.resources["phone_numbers"].listed < 57
    assert not summary.resources["phone_numbers"].complete
    assert set(loaded.by_id()) == set(account.numbers)
