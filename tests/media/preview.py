"""Shows every dashboard with its results on made-up audit logs: `tests/run preview [PATH]`."""

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from tests.demo import DemoError, use_no_settings_of_this_machine
from tests.media.preview_events import ship
from tests.media.preview_page import preview_page


def main(arguments: Sequence[str]) -> int:
    """Writes the page, and opens it where there is a display; returns the exit status.

    Args:
        arguments: the path of the page; without one, a new directory for temporary files.
    """
    parser = argparse.ArgumentParser(prog="tests/run preview", description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="where to write the page")
    named: Path | None = parser.parse_args(arguments).path
    use_no_settings_of_this_machine()
    print("Shipping made-up audit logs, hour by hour, from an S3 server to a stand-in", flush=True)
    try:
        page = preview_page(ship())
    except DemoError as exc:
        print(f"\nFAILED: {exc}", file=sys.stderr)
        return 1
    path = named or Path(mkdtemp(prefix="dashboards-")) / "index.html"
    path.write_text(page)
    print(f"The dashboards with their results: {path.resolve()}")
    if named is None and has_display():
        webbrowser.open(path.resolve().as_uri())
    return 0


def has_display() -> bool:
    """Returns if a browser could show something here."""
    is_desktop = sys.platform in {"darwin", "win32"}
    return is_desktop or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
