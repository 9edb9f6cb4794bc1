"""What both floors share: the documented columns, and the pages of a listing by requests and orjson."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import requests

TABLES = {"phone-numbers": "phone_numbers", "phone-numbers/release-requests": "release_requests"}
COLUMNS = {
    "phone_numbers": {
        **dict.fromkeys(("id", "number", "country_code", "formatted_number", "international_number", "type"), "text"),
        **dict.fromkeys(("has_voice", "has_sms", "has_mms", "has_fax", "has_whatsapp", "is_sandbox"), "boolean"),
        **dict.fromkeys(("current_price", "monthly_renewal_cost"), "decimal(18, 4)"),
        **dict.fromkeys(("current_status", "currency"), "text"),
        **dict.fromkeys(("created_at", "updated_at"), "timestamptz"),
        **dict.fromkeys(("auto_renewal", "is_due_for_monthly_renewal"), "boolean"),
        "renewal_date": "date",
        "days_until_monthly_renewal": "bigint",
        **dict.fromkeys(("environment", "agents"), "json"),
    },
    "release_requests": {
        **dict.fromkeys(("id", "phone_number_id", "phone_number", "reason", "status", "rejection_reason"), "text"),
        **dict.fromkeys(("requested_at", "resolved_at"), "timestamptz"),
    },
}


@dataclass(frozen=True)
class Listings:
    """Where they are, and how many pages are fetched concurrently."""

    base_url: str
    per_page: int
    threads: int

    @classmethod
    def of_command_line(cls, description: str | None) -> Listings:
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("base_url")
        parser.add_argument("per_page", type=int)
        parser.add_argument("--threads", type=int, default=1, help="pages fetched concurrently")
        return cls(**vars(parser.parse_args()))

    def pages(self, endpoint: str) -> Iterator[list[dict[str, Any]]]:
        """The rows of each page."""
        with requests.Session() as session, ThreadPoolExecutor(self.threads) as pool:
            session.headers["Authorization"] = "Bearer talq_benchmark"
            session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=self.threads))

            def page(number: int) -> Any:
                asked = {"page": number, "per_page": self.per_page}
                return orjson.loads(session.get(f"{self.base_url}/{endpoint}", params=asked, timeout=60).content)

            first = page(1)
            for answer in (first, *pool.map(page, range(2, first["meta"]["last_page"] + 1))):
                yield answer["data"]
