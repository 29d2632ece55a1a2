"""Makes the botocore session whose clients start fast and share memory."""

import gzip
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from botocore.credentials import Credentials
from botocore.loaders import JSONFileLoader, Loader, create_loader
from botocore.model import Shape
from botocore.parsers import ResponseParser, ResponseParserError, ResponseParserFactory
from botocore.session import Session

from services.aws.connection import profile_session
from services.threads.singleflight import Singleflight

# Made once, before any thread: msgspec can crash where several are the first to use a type.
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Only a hundredth of a service's description is used, and only that is read. botocore itself sends
# HeadBucket when it is redirected, to find the bucket's region.
USED_OPERATIONS = {
    "s3": {
        *("GetObject", "HeadObject", "ListObjectsV2", "PutObject"),
        *("GetBucketLogging", "GetBucketVersioning", "HeadBucket"),
    },
    "logs": {"CreateLogStream", "DescribeLogGroups", "DescribeLogStreams", "GetLogEvents"},
    "cloudwatch": {"PutDashboard"},
}


class _Parsers(ResponseParserFactory):
    """Makes parsers that tell an answer of another shape as such: botocore's fail like a bug."""

    def create_parser(self, protocol_name: str) -> ResponseParser:
        """Returns a parser for the answers of a protocol."""
        parser = super().create_parser(protocol_name)
        parse = parser.parse

        def parse_or_tell(response: Mapping[str, Any], shape: Shape | None) -> Any:
            try:
                is_unread = shape is None and response["status_code"] == HTTPStatus.OK
                if is_unread and response["body"]:
                    _decode_object(response["body"])
                return dict(parse(response, shape))  # type: ignore[arg-type] # or None
            except (AttributeError, LookupError, TypeError, ValueError) as exc:
                raise ResponseParserError("an answer of another shape") from exc

        parser.parse = parse_or_tell  # type: ignore[method-assign] # of whichever class it is
        return parser


@Singleflight
def botocore_session(region: str | None = None, credentials: Credentials | None = None) -> Session:
    """Returns a session, with botocore's own credential chain unless credentials are given.

    Args:
        region: where the chain asks for a role; None where the clients have keys of their own.
        credentials: that renew themselves; a client can't be given such ones.
    """
    session = Session() if region else profile_session()
    session.set_config_variable("region", region)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    if credentials:
        given = SimpleNamespace(load_credentials=lambda: credentials)
        session.register_component("credential_provider", given)
    session.register_component("response_parser_factory", _Parsers())
    return session


class _Files(JSONFileLoader):
    """Reads botocore's data, and of a service only the operations that are used."""

    def load_file(self, file_path: str) -> object:
        """Returns the data of a file, None if it is not there.

        Args:
            file_path: without its ending.
        """
        for ending, opened in ((".json", open), (".json.gz", gzip.open)):
            if Path(file_path + ending).is_file():
                with opened(file_path + ending, "rb") as file:
                    return _read(Path(file_path), file.read())
        return None


class _Loader(Loader):
    """Finds botocore's data without a look into the folders of all services."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - botocore's
        """Returns the services that there are data of."""
        return sorted({one.name for path in self.search_paths for one in Path(path).glob("*")})


@cache  # each service's description is read once, for all clients
def _loader(data_path: str | None) -> Loader:
    return _Loader(create_loader(data_path).search_paths, _Files())


def _read(path: Path, document: bytes) -> object:
    used = USED_OPERATIONS.get(path.parents[1].name)
    if used is None or path.name != "service-2":
        return msgspec.json.decode(document)
    parts = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    shapes = msgspec.json.decode(parts.pop("shapes"), type=dict[str, msgspec.Raw])
    operations = msgspec.json.decode(parts.pop("operations"), type=dict[str, msgspec.Raw])
    read: dict[str, object] = {name: msgspec.json.decode(part) for name, part in parts.items()}
    read["operations"] = {name: msgspec.json.decode(operations[name]) for name in sorted(used)}
    needed, known = [*_shapes_named(read["operations"])], dict[str, object]()
    while needed:
        name = needed.pop()
        if name not in known:
            known[name] = msgspec.json.decode(shapes[name])
            needed += _shapes_named(known[name])
    return {**read, "shapes": known}


def _shapes_named(described: object) -> Iterator[str]:
    """Yields the names of the shapes that a description refers to."""
    if isinstance(described, dict):
        name = described.get("shape")
        if isinstance(name, str):
            yield name
        for part in described.values():
            yield from _shapes_named(part)
    elif isinstance(described, list):
        for part in described:
            yield from _shapes_named(part)
