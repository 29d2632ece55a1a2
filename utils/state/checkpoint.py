"""The checkpoint as a document: what is shipped, what may be under way, and whose it is."""

from hashlib import sha256
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any

import msgspec
from msgspec.structs import replace

from utils.config.partitions import PARTITIONS, partition_of
from utils.errors import CheckpointError
from utils.model import Position, SourceIdentity
from utils.state.ledger import DORMANT_ROW, RECENT_ROW, Coverage, folder_hash

# Version 2 added the succession, version 3 what is owed, version 4 the partitions and one upload
# time for an object in place of marked lines.
VERSION = 4
# Two that begin at the same round hour can both look before either has written. The other's write
# arrives within this time, which listing and reading mostly take anyway.
_CLAIM_SECONDS = 1.0
# How a person sets what a checkpoint is for, if that has another name.
_SETTINGS = {"aws_region": "AWS_REGION"}


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
    which sharing. `repairing` says that what is shipped is not known until a repair has ended.
    """

    source: SourceIdentity
    owner: str
    coverage: Coverage
    version: int = VERSION
    running: bool = False
    saves: int = 0
    upload_ms: int = 0
    open: list[Position] = msgspec.field(default_factory=list)
    # What versions before 2.0.0 kept of numbers of replicas.
    succession: dict[str, Any] | None = None
    sharing: Sharing | None = None
    generation: str = ""
    repairing: bool = False
    checksum: str = ""

    @property
    def has_predecessors(self) -> bool:
        """Tells if only it and others of version 1 together say what is shipped."""
        known = self.succession or {}
        return bool(known.get("after") or known.get("over_ms"))


class _Versioned(msgspec.Struct):
    version: int


# Made here, by one thread: msgspec can crash if several are the first to decode a type.
_decode_version = msgspec.json.Decoder(_Versioned).decode
_decode = msgspec.json.Decoder(Checkpoint).decode


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Returns the checkpoint as a JSON document with its checksum."""
    # Encoded once: the coverage may change meanwhile. The checksum is the last member.
    document = msgspec.json.encode(replace(checkpoint, checksum=""))
    end = b'"}'
    return document.removesuffix(end) + sha256(document).hexdigest().encode() + end


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
            _carry_over(members, name)
        checkpoint = _decode(msgspec.json.encode(members))
    except (
        msgspec.DecodeError,
        AttributeError,
        LookupError,
        RecursionError,
        StructError,
        TypeError,
        ValueError,
    ) as exc:
        raise CheckpointError(f"The checkpoint {name} is unreadable", str(exc), hint) from exc
    if not is_whole:
        raise CheckpointError(f"The checkpoint {name} was changed by hand", "checksum", hint)
    return checkpoint


def _carry_over(members: dict[str, Any], name: str) -> None:
    """Brings what an older version says into the form of this one.

    That one marked the lines that were stored, and kept shipped objects by the minute of their
    `LastModified`, and folders by their names.

    Raises:
        CheckpointError: lines behind a position may be stored. That version alone knows at which
            times.
    """
    for position in members["open"]:
        if members["running"] or position.pop("stored", ""):
            raise CheckpointError(
                f"The checkpoint {name} was left in the midst of an iteration by an older version",
                f"version {members['version']}, this program goes on from {VERSION}",
                "End it with the image that wrote it and the same variables: `docker run --rm "
                "-e ... OLD_IMAGE --once`. Then start this one again",
            )
        position["in_doubt"] = position.pop("is_doubtful", False)
        for other in position.keys() - {*Position.__struct_fields__}:
            del position[other]
    coverage = members["coverage"]
    entry = Struct(">QIIIH")
    # Of two contents of one key the latest counts.
    recent: dict[int, tuple[int, ...]] = {}
    for minute_ms, minute in sorted((int(ms), one) for ms, one in coverage["recent"].items()):
        objects = msgspec.convert(minute.get("objects", ""), bytes)
        for key, content, lines, line_hash, within_ms in entry.iter_unpack(objects):
            recent[key] = minute_ms + within_ms, content, lines, line_hash
    dormant = {folder_hash(folder): ms for folder, ms in coverage.get("dormant", {}).items()}
    coverage["recent"] = b"".join(RECENT_ROW.pack(key, *recent[key]) for key in sorted(recent))
    coverage["dormant"] = b"".join(DORMANT_ROW.pack(*one) for one in sorted(dormant.items()))


def split(whole: Checkpoint, partition: int, source: SourceIdentity, generation: str) -> Checkpoint:
    """Returns what a checkpoint says of the objects of one partition.

    Args:
        whole: of all of the source, or of a replica of version 1 that had all of the partition.
        partition: its number.
        source: what the partition's checkpoint is for.
        generation: names the sharing.
    """
    known = whole.coverage
    rows = RECENT_ROW.iter_unpack(known.recent)
    recent = (RECENT_ROW.pack(*row) for row in rows if row[0] % PARTITIONS == partition)
    coverage = replace(
        known,
        covered=list(known.covered),
        recent=bytearray(b"".join(recent)),
        dormant=bytearray(known.dormant),
        owed={key: one for key, one in known.owed.items() if partition_of(key) == partition},
    )
    return replace(
        whole,
        source=source,
        version=VERSION,
        coverage=coverage,
        open=[one for one in whole.open if partition_of(one.object.key) == partition],
        succession=None,
        sharing=None,
        generation=generation,
    )


def claim_seconds(settle_seconds: float) -> float:
    """Returns how long a claim has to hold until no other can be written beside it."""
    return min(_CLAIM_SECONDS, settle_seconds / 2)


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
    fields = source.__struct_fields__
    different = {
        _SETTINGS.get(field, field): (getattr(checkpoint.source, field), getattr(source, field))
        for field in fields
        if getattr(checkpoint.source, field) != getattr(source, field)
    }
    if not different:
        return checkpoint
    if not checkpoint.open and checkpoint.coverage == Coverage(checkpoint.coverage.since_ms):
        return replace(checkpoint, source=source)
    if {"bucket_name", "prefix", "log_type"} & different.keys():
        consequence = "To go on would take logs for shipped that never were"
    else:
        consequence = "To go on would leave out of the new log stream all that is in the old one"
    # Without the last status, a missing checkpoint means a first start.
    bucket, _, key = name.partition("/")
    known_as = key.removeprefix("integration-state/").removesuffix(".json").replace("/", "-")
    moving_away = " && ".join(
        f"aws s3 mv {one} {one}.old --endpoint-url {endpoint_url}"
        for one in (f"s3://{name}", f"s3://{bucket}/integration-logs/latest-{known_as}.json")
    )
    raise CheckpointError(
        f"The checkpoint {name} is for another destination or origin",
        "; ".join(f"{one} was {was!r}, is {now!r}" for one, (was, now) in different.items()),
        f"{consequence}. Set {' and '.join(different)} back; or start anew: `{moving_away}` moves "
        "the old record away, and the next start ships everything since mode, to where the "
        "settings say now",
    )
