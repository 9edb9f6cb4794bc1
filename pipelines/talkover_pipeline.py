"""For cron and systemd: loads the account, prints the summary as one JSON line, and exits as `talkover load` does.

    python pipelines/talkover_pipeline.py

Running it again is always safe. An error is one line on stderr; settings are dlt's, as in the README.
"""

from __future__ import annotations

import json
import os
import sys

import talkover


def main() -> int:
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # before the first load imports dlt
    try:
        summary = talkover.load_account()
    except talkover.TalkoverError as error:
        print(f"talkover: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(summary.as_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
