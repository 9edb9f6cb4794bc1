"""Text of the account, its configuration or a server, as a terminal, HTML and Markdown show it: nothing in it acts."""

from __future__ import annotations

import re
import shlex
from unicodedata import category

ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what does something instead of being shown: control characters with line breaks and escapes,
marks that turn the direction of what follows, half characters.
"""
JOINERS = "\u200c\u200d"
"""Of those, what letters of some scripts and emoji are joined with."""
MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#:@/]|^\s|\s$")
"""What Markdown, or Jupyter's reading of it, takes for its own. Beside a space `**` would make nothing bold."""


def visible(text: str) -> str:
    """`text` on one line, what would act spelled out: `\\x1b[31m`."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if category(char) in ACTING and char not in JOINERS else char
        for char in text
    )


def is_name(text: object) -> bool:
    """Whether it says something, and all of it are characters: Python makes halves of bytes that are none."""
    return isinstance(text, str) and bool(text.strip()) and not any(category(char) == "Cs" for char in text)


def in_shell(*arguments: str) -> str:
    """`arguments` as a command line takes them; behind `--` where one would be read as an option."""
    return " ".join(
        ["--"] * any(each.startswith("-") for each in arguments) + [shlex.quote(each) for each in arguments]
    )


def markdown(text: str) -> str:
    """`text` for a sentence of Markdown, which takes none of it for its own signs."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", visible(text))
