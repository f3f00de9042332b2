"""What commands tell: to whoever looks, and into files.

The house rule: a file that cannot be written is named, with the reason, and is no traceback.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vifsim.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def say(text: str) -> None:
    """Tell something at once, also where nobody reads line by line."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}") from exc
