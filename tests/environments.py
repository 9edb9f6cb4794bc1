"""Environments of their own for tools that cannot live with each other: `.venv-NAME` in the repository, made by uv.

Each is kept until pyproject.toml, the packages or Python change. Making one is all that needs the network in the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]


def environment(name: str, *packages: str) -> Path:
    """The folder of the programs of an environment that holds `packages`; `-e .[extra]` is this one with an extra."""
    folder = ROOT / f".venv-{name}"
    needed = "\n".join([sys.version, *packages, (ROOT / "pyproject.toml").read_text()])
    stamp = folder / "holds"
    with FileLock(f"{folder}.lock"):
        if not stamp.exists() or stamp.read_text() != needed:
            uv("venv", "--quiet", "--clear", "--no-python-downloads", "--python", sys.executable, str(folder))
            uv("pip", "install", "--quiet", "--python", str(folder / "bin/python"), *packages)
            stamp.write_text(needed)
    return folder / "bin"


def uv(*arguments: str) -> None:
    """Runs uv in the repository, whatever environment the tests themselves run in."""
    ours = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_PYTHON")}
    done = subprocess.run([find_uv_bin(), *arguments], cwd=ROOT, env=ours, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)}: {done.stderr}"
