"""A Singer tap as its SDK's template makes one: the two listings as streams, on stdout, for a target to load.

python singer_tap.py --config config.json | target-duckdb --config target.json
"""

from __future__ import annotations

from typing import Any, ClassVar

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BasePageNumberPaginator


class Pages(BasePageNumberPaginator):
    """Laravel's: the answer says which page is the last one."""

    def has_more(self, response: Any) -> bool:
        meta = response.json()["meta"]
        return bool(meta["current_page"] < meta["last_page"])


class Listing(RESTStream[int]):
    """What both streams share."""

    records_jsonpath = "$.data[*]"
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    @property
    def url_base(self) -> str:
        return str(self.config["base_url"])

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token="talq_benchmark")  # noqa: S106  opens nothing

    def get_new_paginator(self) -> Pages:
        return Pages(1)

    def get_url_params(self, _context: Any, next_page_token: int | None) -> dict[str, Any]:
        return {"page": next_page_token or 1, "per_page": self.config["per_page"]}


NAMED = th.ObjectType(th.Property("id", th.StringType), th.Property("name", th.StringType))


def properties(*typed: tuple[Any, str]) -> dict[str, Any]:
    """A schema from kinds and the names, with blanks between, of the fields of that kind."""
    fields = [th.Property(name, kind) for kind, names in typed for name in names.split()]
    return th.PropertiesList(*fields).to_dict()


class PhoneNumbers(Listing):
    name = "phone_numbers"
    path = "/phone-numbers"
    schema = properties(
        (th.StringType, "id number country_code formatted_number international_number type current_status currency"),
        (th.BooleanType, "has_voice has_sms has_mms has_fax has_whatsapp is_sandbox auto_renewal"),
        (th.BooleanType, "is_due_for_monthly_renewal"),
        (th.NumberType, "current_price monthly_renewal_cost"),
        (th.IntegerType, "days_until_monthly_renewal"),
        (th.DateType, "renewal_date"),
        (th.DateTimeType, "created_at updated_at"),
        (NAMED, "environment"),
        (th.ArrayType(NAMED), "agents"),
    )


class ReleaseRequests(Listing):
    name = "release_requests"
    path = "/phone-numbers/release-requests"
    schema = properties(
        (th.StringType, "id phone_number_id phone_number reason status rejection_reason"),
        (th.DateTimeType, "requested_at resolved_at"),
    )


class TalkoverTap(Tap):
    """The tap itself."""

    name = "tap-talkover"
    config_jsonschema = th.PropertiesList(
        th.Property("base_url", th.StringType, required=True), th.Property("per_page", th.IntegerType, required=True)
    ).to_dict()

    def discover_streams(self) -> list[Any]:
        return [PhoneNumbers(self), ReleaseRequests(self)]


if __name__ == "__main__":
    TalkoverTap.cli()
