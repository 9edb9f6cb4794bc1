"""`python -m talkover` is `talkover`."""

import sys

from .cli import main

sys.exit(main())
