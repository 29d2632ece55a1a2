"""Makes the boto3 session whose clients share most of their memory, and read times quickly."""

from contextlib import suppress
from datetime import datetime
from functools import cache

from boto3 import Session
from botocore.exceptions import ProfileNotFound
from botocore.loaders import create_loader
from botocore.session import Session as BotocoreSession
from botocore.utils import parse_timestamp

from services.threads.made_once import MadeOnce

# A client has a hundred methods more, and what describes each: half of its memory. By head_bucket
# botocore itself looks for the region of a bucket when it is redirected.
KEPT_METHODS = {
    "s3": {"get_object", "head_bucket", "head_object", "list_objects_v2", "put_object"},
    "cloudwatch-logs": {"create_log_stream", "describe_log_groups", "get_log_events"},
    "cloudwatch": {"put_dashboard"},
}
# What describes the services is 10 MB for each client, once parsed: all have it from here.
_loader = cache(create_loader)


@MadeOnce
def boto3_session(region: str | None = None) -> Session:
    """Returns a session, with boto3's own credential chain.

    Args:
        region: where the chain asks for a role; None where the clients have keys of their own.
    """
    base = BotocoreSession() if region else session_without_missing_profile()
    base.register_component("data_loader", _loader(base.get_config_variable("data_path")))
    base.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    session = Session(botocore_session=base, region_name=region)
    # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html
    for service in KEPT_METHODS:
        session.events.register_last(f"creating-client-class.{service}", _leave_out)
    return session


def session_without_missing_profile() -> BotocoreSession:
    """Returns a botocore session in which a profile that does not exist stops nothing.

    Who has keys of its own needs none: `AWS_PROFILE` may be left over from another program.
    """
    session = BotocoreSession()
    try:
        session.get_scoped_config()
    except ProfileNotFound:
        return BotocoreSession(session_vars={"profile": (None, None, None, None)})
    return session


def moment(written: str | float) -> datetime:
    """Reads a time as botocore does, RFC 3339 as in listings at a tenth of the cost.

    Args:
        written: what an answer holds.
    """
    if isinstance(written, str):
        with suppress(ValueError):
            read = datetime.fromisoformat(written)
            if read.tzinfo:
                return read
    return parse_timestamp(written)  # type: ignore[arg-type] # or a number


def _leave_out(class_attributes: dict[str, object], event_name: str, **_: object) -> None:
    """Leaves the methods out of a client's class that nothing calls."""
    for name in set(class_attributes) - KEPT_METHODS[event_name.rpartition(".")[2]]:
        if not name.startswith("_"):
            del class_attributes[name]
