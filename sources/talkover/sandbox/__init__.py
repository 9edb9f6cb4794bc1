"""A Talkover API of your own: the documented endpoints over a made-up account, on this machine, with faults on request.

with Sandbox(Account(seed=1, size=60)) as sandbox:
    ...  # sandbox.base_url, sandbox.token
"""

from __future__ import annotations

from .account import Account
from .faults import FAULTS, Fault
from .server import TOKEN, Sandbox

__all__ = ["FAULTS", "TOKEN", "Account", "Fault", "Sandbox"]
