"""talkover's command line, and then how many rows it fetched from each table of the destination, into fetched.json.

python counted.py load --with calls
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from talkover.cli import main
from talkover.sync.held import Held

FETCHED: Counter[str] = Counter()
select = Held._select


def counted(held: Held, table: Any, *arguments: Any, **options: Any) -> pa.Table:
    """What every reading of a table goes through."""
    rows = select(held, table, *arguments, **options)
    FETCHED[table] += rows.num_rows
    return rows


if __name__ == "__main__":
    Held._select = counted  # type: ignore[assignment, method-assign]
    code = main()
    Path("fetched.json").write_text(json.dumps(FETCHED))
    raise SystemExit(code)
