"""The image's health check, a program of its own: exit status 0 if the daemon is well.

    python -m services.daemon.health_check

It imports no more than it needs, because it is run twice a minute.
"""

import sys
import time

from services.daemon.health import ailments


def main() -> int:
    """Prints what is wrong, if anything is; returns the exit status."""
    found = ailments(time.time())
    print(" ".join(found) or "healthy")  # noqa: T201 - `docker inspect` shows it
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
