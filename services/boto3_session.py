"""Makes boto3 sessions that share what describes the services, and read times quickly."""

from contextlib import suppress
from datetime import datetime
from functools import cache

from boto3 import Session
from botocore.loaders import create_loader
from botocore.session import Session as BotocoreSession
from botocore.utils import parse_timestamp

from services.made_once import MadeOnce
from utils.settings import AwsAccess

# What describes the services is 10 MB for each client, once parsed: all have it from here.
_loader = cache(create_loader)


@MadeOnce
def boto3_session(access: AwsAccess | None = None) -> Session:
    """Returns the session with the given keys, or with boto3's own credential chain.

    Args:
        access: keys and region of AWS; None for clients that have keys of their own.
    """
    base = BotocoreSession()
    base.register_component("data_loader", _loader(base.get_config_variable("data_path")))
    base.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    if access is None:
        return Session(botocore_session=base)
    return Session(
        access.access_key, access.secret_key, region_name=access.region, botocore_session=base
    )


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
