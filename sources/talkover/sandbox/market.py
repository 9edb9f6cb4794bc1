"""What the made-up account can choose from: numbers and their prices, agents, and reasons to give a number back."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Country:
    """Where numbers come from: calling code, digits of a number, currency and the price of a plain voice number.

    What `area_codes` begin with belongs to no other country of the same calling code.
    """

    code: str
    calling_code: str
    digits: int
    currency: str
    price: float
    weight: int
    area_codes: tuple[str, ...] = ()

    def local_number(self, chance: Random) -> str:
        digits = "".join(chance.choices("0123456789", k=self.digits - 1))
        return f"{chance.randrange(2, 10)}{digits}"

    def international(self, local: str) -> str:
        return f"+{self.calling_code} {local[:3]} {local[3:6]} {local[6:]}"


COUNTRIES = (
    Country("US", "1", 10, "USD", 1.15, 34, ("212", "305", "415", "512", "617")),
    Country("BR", "55", 11, "BRL", 8.90, 30),
    Country("GB", "44", 10, "GBP", 0.95, 12),
    Country("DE", "49", 11, "EUR", 1.40, 9),
    Country("PT", "351", 9, "EUR", 1.60, 7),
    Country("CA", "1", 10, "USD", 1.25, 5, ("416", "514", "604")),
    Country("MX", "52", 10, "USD", 3.20, 3),
)
CAPABILITIES = ("voice", "sms", "mms", "fax", "whatsapp")
OFFERS: tuple[tuple[str, tuple[str, ...], float, int], ...] = (
    ("voice", ("voice",), 1.0, 30),
    ("voice", ("voice", "sms"), 1.25, 30),
    ("voice", ("voice", "sms", "mms"), 1.6, 8),
    ("sms", ("sms",), 0.8, 8),
    ("sms", ("sms", "mms"), 1.1, 3),
    ("mms", ("sms", "mms"), 1.1, 2),
    ("whatsapp", ("voice", "whatsapp"), 2.0, 12),
    ("whatsapp", ("whatsapp",), 1.8, 4),
    ("fax", ("fax",), 1.5, 2),
    ("fax", ("voice", "fax"), 1.9, 1),
)
"""Type, capability set, price as a multiple of the country's, weight."""
STATUSES = (("active", 88), ("inactive", 5), ("pending", 3), ("suspended", 4))
AGENTS = ("Ana", "Bruno", "Clara", "Diego", "Elisa", "Fabio", "Gina", "Hugo", "Iris", "Joao", "Karin", "Luis")
REASONS = (
    "Number is no longer in use after migration",
    "Replaced by new toll-free number",
    "Campaign has ended, agent was retired",
    "Bought twice by mistake, please take it back",
    "Moving this country to another carrier",
)
OUTCOMES = (("approved", 70), ("rejected", 18), ("cancelled", 12))
REJECTIONS = ("The number is in use by an agent", "The minimum term has not ended", "A port-out is under way")
