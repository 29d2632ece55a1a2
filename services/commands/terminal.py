"""Writes what a person asked for on standard output."""

import errno
import os
import sys
from collections.abc import Sequence

from utils.errors import OutputError


def show(*lines: str) -> None:
    """Writes lines, and what else is not written yet, at once.

    Args:
        lines: without their ends.

    Raises:
        OutputError: they can't be written. Nothing is written from then on.
    """
    if sys.stdout is None:
        raise OutputError(os.strerror(errno.EBADF))
    try:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
    except OSError as exc:
        # Python writes the rest once more at its end: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(exc.strerror or type(exc).__name__) from exc


def show_table(title: str, table: Sequence[tuple[str, str]]) -> None:
    """Writes a title, a line for each name and its value, and an empty line.

    Raises:
        OutputError: they can't be written.
    """
    width = max(len(name) for name, _ in table)
    show(title, *(f"  {name:<{width}}  {value}" for name, value in table), "")
