"""What a test can set on the stand-in while it runs, and the faults it can ask for."""

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, convert, field, json, to_builtins

Fault = Literal[
    "none",
    "throttled",
    "unavailable_before",
    "unavailable_after",
    "failed_after",
    "dropped_before",
    "dropped_after",
    "hung_before",
    "hung_after",
]
"""Each also names the outcome in the count of calls; `before` and `after` are about storing."""

OperationName = Literal[
    "CreateLogGroup",
    "DeleteLogGroup",
    "PutRetentionPolicy",
    "DeleteRetentionPolicy",
    "DescribeLogGroups",
    "CreateLogStream",
    "DeleteLogStream",
    "DescribeLogStreams",
    "PutLogEvents",
    "GetLogEvents",
]
OPERATIONS: tuple[OperationName, ...] = get_args(OperationName)

Probability = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0)]


class Settings(Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything settable; the defaults are a service without faults that accepts any key.

    Args:
        seed: of the faults and the empty pages.
        probabilities: of each fault in one call; together at most 1.
        fail_next: faults for the next calls, one each, before any chance.
        fault_operations: the operations that faults and latency apply to.
        fault_groups: the log groups that faults and latency apply to; empty for all.
        latency_ms: between the work and the answer.
        hang_ms: how long a hung call stays unanswered; 0 until the client goes.
        visible_after_ms: from storing until GetLogEvents returns an event.
        empty_pages: whether pages of events are sometimes preceded by empty ones.
        refuse_containing: a text; a batch with it in any message is refused whole.
        denied: operations that the caller has no permission for.
        credentials: access key id to secret key; an empty secret accepts any signature, an
            empty mapping any key.
        expired: access key ids whose session is over.
        region: where the account is; signatures for another one are refused.
        clock_offset_ms: the service's clock minus this machine's.
    """

    seed: int = 0
    probabilities: dict[Fault, Probability] = {}
    fail_next: list[Fault] = []
    fault_operations: list[OperationName] = field(default_factory=lambda: ["PutLogEvents"])
    fault_groups: list[str] = []
    latency_ms: Milliseconds = 0
    hang_ms: Milliseconds = 0
    visible_after_ms: Milliseconds = 0
    empty_pages: bool = False
    refuse_containing: str = ""
    denied: list[OperationName] = []
    credentials: dict[str, str] = {}
    expired: list[str] = []
    region: str = "us-east-1"
    clock_offset_ms: int = 0

    def __post_init__(self) -> None:
        """Holds the sum of the chances to 1."""
        if sum(self.probabilities.values()) > 1:
            raise ValueError("the probabilities are more than 1 together")


def changed(settings: Settings, changes: bytes) -> Settings:
    """Returns the settings with a JSON object of changes laid over them.

    Raises:
        msgspec.ValidationError: an unknown key or a wrong value.
    """
    given = json.decode(changes, type=dict[str, object])
    return convert({**to_builtins(settings), **given}, Settings)
