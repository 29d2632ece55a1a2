"""The checkpoint as a document: what is shipped, what may be under way, and whose it is."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any

import msgspec
from msgspec.structs import replace

from utils.config.partitions import PARTITIONS, partition_of
from utils.errors import CheckpointError
from utils.lines.runs import MAX_RUN_OBJECTS, MAX_RUN_POSITIONS_BYTES
from utils.model import Position, SourceIdentity
from utils.state.ledger import Coverage, carried_over

# Version 2 added the succession, version 3 what is owed, version 4 the partitions and one upload
# time for an object in place of marked lines.
VERSION = 4
# Lines behind the saved position that may have been sent already when a process dies.
WINDOW_LINES = 40_000
# Objects behind the saved position of which lines may have been sent already.
WINDOW_OBJECTS = 2 * MAX_RUN_OBJECTS
# What these take in the checkpoint.
WINDOW_BYTES = 2 * MAX_RUN_POSITIONS_BYTES

# How a person sets what a checkpoint is for, if that has another name.
_SETTINGS = {"aws_region": "AWS_REGION"}


class Succession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What versions before 2.0.0 kept of numbers of replicas: still read, no longer written.

    `after` are the numbers before this one, 0 for a source that was not shared; at `over_ms`
    another one had taken over.
    """

    from_ms: int = 0
    after: list[int] | None = None
    over_ms: int | None = None


class Sharing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Says, in the checkpoint of a whole source, that it is shared out among partitions.

    `generation` names this sharing: a partition's checkpoint of an earlier one says nothing. So
    many `replicas` share it since `since_ms`, in ms since 1970. It `is_complete` once each
    partition has a checkpoint; up to then these are split from this one, or from those of so many
    `origins`, which are replicas of version 1.
    """

    generation: str
    replicas: int
    since_ms: int
    origins: int = 0
    is_complete: bool = False


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The progress of one source.

    `open` are the objects of which lines may have been sent, in their order: everything before the
    first one's position is acknowledged, and at most `WINDOW_LINES` lines behind it may be stored
    too. `running` says that this is to be found out. `upload_ms` is the last upload time that was
    given to an object. `saves` grows with each save, so that a living owner can be told from a dead
    one. `sharing` says that the source is shared; of a partition's checkpoint `generation` says in
    which sharing.
    """

    source: SourceIdentity
    owner: str
    coverage: Coverage
    version: int = VERSION
    running: bool = False
    saves: int = 0
    upload_ms: int = 0
    open: list[Position] = msgspec.field(default_factory=list)
    succession: Succession | None = None
    sharing: Sharing | None = None
    generation: str = ""
    # Only until a repair has ended: what is shipped is not known until then.
    repairing: bool = False
    checksum: str = ""

    @property
    def has_predecessors(self) -> bool:
        """Tells if only it and others of version 1 together say what is shipped."""
        return bool(self.succession and (self.succession.after or self.succession.over_ms))


# What the parts of another document lead to.
_OTHER_FORM = (
    msgspec.DecodeError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    StructError,
)


class _Versioned(msgspec.Struct):
    version: int


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Returns the checkpoint as a JSON document with its checksum."""
    # Encoded once: the coverage may change meanwhile.
    document = _without_checksum(checkpoint)
    end = b'"}'
    return document.removesuffix(end) + sha256(document).hexdigest().encode() + end


# Made here, by one thread: msgspec can crash if several are the first to decode a type.
_decode_version = msgspec.json.Decoder(_Versioned).decode
_decode = msgspec.json.Decoder(Checkpoint).decode


def decode_checkpoint(document: bytes, name: str) -> Checkpoint:
    """Returns the checkpoint that the document holds.

    Args:
        document: the state object's content.
        name: the state object, for the error.

    Raises:
        CheckpointError: it is unreadable, of a newer version, or changed by hand.
    """
    hint = f"Put back the last good version of {name}; or stop the daemon, and run --repair"
    try:
        version = _decode_version(document).version
        if version > VERSION:
            raise CheckpointError(
                f"The checkpoint {name} is of a newer version",
                f"version {version}, this program reads {VERSION}",
                "Run the version of this program that wrote it, or a newer one",
            )
        members = msgspec.json.decode(document, type=dict[str, Any])
        content = msgspec.json.encode({**members, "checksum": ""})
        is_whole = members.get("checksum") == sha256(content).hexdigest()
        if is_whole and version < VERSION:
            members["open"] = [_position_of(one, members, name) for one in members["open"]]
        if is_whole and isinstance(members["coverage"]["recent"], dict):
            members["coverage"] = carried_over(members["coverage"])
        checkpoint = _decode(msgspec.json.encode(members))
    except _OTHER_FORM as exc:
        raise CheckpointError(f"The checkpoint {name} is unreadable", str(exc), hint) from exc
    if not is_whole:
        raise CheckpointError(f"The checkpoint {name} was changed by hand", "checksum", hint)
    return checkpoint


def split(whole: Checkpoint, partition: int, source: SourceIdentity, generation: str) -> Checkpoint:
    """Returns what a checkpoint says of the objects of one partition.

    Args:
        whole: of all of the source, or of a replica of version 1 that had all of the partition.
        partition: its number.
        source: what the partition's checkpoint is for.
        generation: names the sharing.
    """
    coverage = whole.coverage.of_keys(lambda key_hash: key_hash % PARTITIONS == partition)
    begun = [one for one in whole.open if partition_of(one.object.key) == partition]
    return replace(
        whole,
        source=source,
        version=VERSION,
        coverage=coverage,
        open=begun,
        succession=None,
        sharing=None,
        generation=generation,
    )


def without_coverage(whole: Checkpoint) -> Checkpoint:
    """Returns the checkpoint of a source of which each partition has its own."""
    coverage = Coverage(whole.coverage.since_ms)
    return replace(whole, coverage=coverage, open=[], running=False)


def check_identity(
    checkpoint: Checkpoint, source: SourceIdentity, name: str, endpoint_url: str
) -> Checkpoint:
    """Returns the checkpoint of this source.

    One behind which nothing was ever put follows the configuration: there is nothing to keep.

    Args:
        checkpoint: what the state object holds.
        source: what the configuration asks for.
        name: the bucket and the key of the state object.
        endpoint_url: where the bucket is, for the command in the hint.

    Raises:
        CheckpointError: what was shipped was of another bucket, prefix or type, or went to another
            region, group or stream; or it is under repair.
    """
    if checkpoint.repairing:
        raise CheckpointError(
            f"The checkpoint {name} is under repair",
            f"owner {checkpoint.owner}",
            "Wait until `--repair` has ended; if it was stopped or killed, run it again",
        )
    different = [
        field
        for field in source.__struct_fields__
        if getattr(checkpoint.source, field) != getattr(source, field)
    ]
    if not different:
        return checkpoint
    if not checkpoint.open and checkpoint.coverage == Coverage(checkpoint.coverage.since_ms):
        return replace(checkpoint, source=source)
    written = [
        f"{_SETTINGS.get(field, field)} was {getattr(checkpoint.source, field)!r}, "
        f"is {getattr(source, field)!r}"
        for field in different
    ]
    settings = " and ".join(_SETTINGS.get(field, field) for field in different)
    raise CheckpointError(
        f"The checkpoint {name} is for another destination or origin",
        "; ".join(written),
        f"{_consequence(different)}. Set {settings} back; or start anew: "
        f"`{_moving_away(name, endpoint_url)}` moves the old record away, and the next start ships "
        "everything since mode, to where the settings say now",
    )


def _position_of(position: dict[str, Any], members: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns an open position of an older version in the form of this one.

    Raises:
        CheckpointError: lines behind it may be stored. That version alone knows at which times.
    """
    if members["running"] or position.get("stored"):
        raise CheckpointError(
            f"The checkpoint {name} was left in the midst of an iteration by an older version",
            f"version {members['version']}, this program goes on from {VERSION}",
            "End it with the image that wrote it and the same variables: `docker run --rm -e ... "
            "OLD_IMAGE --once`. Then start this one again",
        )
    kept = {name: value for name, value in position.items() if name in Position.__struct_fields__}
    return {**kept, "in_doubt": position.get("is_doubtful", False)}


def _consequence(different: Collection[str]) -> str:
    if {"bucket_name", "prefix", "log_type"} & {*different}:
        return "To go on would take logs for shipped that never were"
    return "To go on would leave out of the new log stream all that is in the old one"


def _moving_away(name: str, endpoint_url: str) -> str:
    """Returns the command that moves the state object away, and the last status with it.

    Without the status, a missing checkpoint means a first start.
    """
    bucket, _, key = name.partition("/")
    source = key.removeprefix("integration-state/").removesuffix(".json").replace("/", "-")
    objects = f"s3://{name}", f"s3://{bucket}/integration-logs/latest-{source}.json"
    return " && ".join(
        f"aws s3 mv {one} {one}.old --endpoint-url {endpoint_url}" for one in objects
    )


def _without_checksum(checkpoint: Checkpoint) -> bytes:
    """Returns the document with an empty checksum, which is its last member."""
    return msgspec.json.encode(replace(checkpoint, checksum=""))
