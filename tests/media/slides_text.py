"""What stands on the slides of documentation/introduction.pptx."""

from utils.report.preview import PRICE_PER_GB

TITLE = "Lyve Cloud audit logs\nin AWS CloudWatch"
SUBTITLE = "What it does, what it guarantees, how fast it is, and how to start"

# Each line's beginning stands out.
PROBLEM = (
    (
        "Out of sight.",
        "Lyve Cloud writes its audit logs into a bucket, as compressed files. Nobody can search or"
        " chart them there, or set alarms.",
    ),
    (
        "Needed elsewhere.",
        "Whoever watches systems in CloudWatch needs every request, login and change of settings"
        " there, too.",
    ),
    (
        "Easily wrong.",
        "A script that copies them loses events when it is stopped in the middle, or stores them"
        " twice when it begins again. CloudWatch removes no duplicates.",
    ),
)
# A box's text, its left and upper edge in inches, and whether it is the program itself.
BOXES = (
    ("Audit bucket\nin Lyve Cloud, only read", 0.7, 1.9, False),
    ("logscollector\none container", 5.1, 1.9, True),
    ("Log group\nin AWS CloudWatch", 9.5, 1.9, False),
    ("Output bucket\ncheckpoint, status lines, quarantine", 5.1, 4.2, False),
)
GUARANTEE = (
    (
        "Nothing is lost.",
        "The checkpoint covers only what CloudWatch has acknowledged. The next start goes on from"
        " there, on any machine.",
    ),
    (
        "Nothing is there twice.",
        "If the outcome of a request is unknown, the daemon reads back what CloudWatch holds, and"
        " sends only what is missing.",
    ),
    (
        "You can check it.",
        "Each status line balances what was read against what was accepted and set aside, and"
        " --verify compares the bucket with CloudWatch, line by line.",
    ),
    (
        "It is tested.",
        "The tests kill the daemon at each step, break its connections, and count every event"
        " afterwards.",
    ),
)
CASES = (
    ("The daemon is killed", "The next start finds out what was stored, and sends the rest."),
    ("A connection breaks", "What is in doubt is read back before anything is sent again."),
    ("CloudWatch throttles", "The daemon waits and tries again; nothing is skipped."),
    ("It was off for a day", "The next iteration ships the whole day."),
    (
        "An event is over 14 days old",
        "It is stored at its upload time; its own stays in the message.",
    ),
    ("A line can't be taken", "It is kept in the output bucket, with the reason, and counted."),
)
# What the table calls a row: the sender, and the events in a group.
SENDERS = (
    ("A straightforward sender", "sequential", "100"),
    ("The daemon, groups of 100", "daemon", "100"),
    ("Groups of 1,000", "daemon", "1,000"),
    ("Groups of 10,000", "daemon", "10,000"),
)
SPEED_NOTES = (
    "100,000 events, 30 ms for each request, the start of the process included.",
    "capacity.md has the whole table; tests/run bench measures it on your machine.",
)
DASHBOARDS = (
    "requests_count: operations, and over time",
    "failed_requests: what failed, where, whose",
    "security: denials, deletions, changed protections, logins",
    "usage: requests, bytes, time to response",
    "integration: what arrives, how late, and the daemon's metrics",
    "access_requests, _failed, _security, _usage: the same for the newer platform",
    "",
    "One command stores them in CloudWatch. Their queries are run in the tests, and each result is"
    " counted in another way.",
)
STEPS = (
    ("1. Lyve Cloud", "Create a service account for the two buckets, and note its keys."),
    ("2. AWS", "Run the template, or create a user with the five permissions of the README."),
    ("3. Log group", "The template makes it; by hand: in CloudWatch, in the class Standard."),
    ("4. Start", "Fill in five keys, build the image, try it with --check, start it."),
    ("5. Dashboards", "Store them with --install-dashboards: one permission more."),
)
LIMITS = (
    (
        "The price.",
        f"CloudWatch charges about ${PRICE_PER_GB:.2f} a GB in us-east-1. --plan estimates what"
        " the first run would cost.",
    ),
    (
        "Not at once.",
        "Events arrive after the next round hour, or every few minutes if you set that.",
    ),
    (
        "Old events.",
        "Events over 14 days old are stored at the time of their upload.",
    ),
    (
        "Very late objects.",
        "One that appears over 24 hours behind the newest may be taken for shipped."
        " documentation/delivery.md names every such limit.",
    ),
)


def speed(document: str) -> tuple[tuple[str, str], ...]:
    """Returns the measured speed by sender, from a document's table of the bench.

    Raises:
        ValueError: the table lacks a row.
    """
    rows = [line.strip("| ").split(" | ") for line in document.splitlines() if line.startswith("|")]
    heads = next(row for row in rows if "events/s" in row)
    measured = [dict(zip(heads, row, strict=False)) for row in rows if len(row) == len(heads)]
    shown = []
    for name, sender, batch in SENDERS:
        wanted = {"sender": sender, "batch": batch, "ms": "30", "objects": "1"}
        wanted["events"] = "100,000"
        found = [row for row in measured if wanted.items() <= row.items()]
        if len(found) != 1:
            raise ValueError(f"{len(found)} rows in the table of speed for: {name}")
        ratio = f", {float(found[0]['ratio']):.0f} times as many" if sender == "daemon" else ""
        shown.append((name, f"{found[0]['events/s']} events a second{ratio}"))
    return tuple(shown)
