"""A strict stand-in for CloudWatch Logs, run as a process of its own.

    python -m tests.standin.cloudwatch_standin --port 0

prints one JSON line with its port when it is ready, and ends on SIGTERM at once. It speaks the
protocol of boto3's `logs` client and refuses what the service refuses. For tests it has further,
on the same port: GET and POST /_control, GET /_calls, GET and POST /_events and GET /_digest, the
last three with `?group=&stream=`. What is posted to /_events is what the stream holds from then on.
"""

import argparse
import asyncio
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from uuid import uuid4

from msgspec import DecodeError, ValidationError, json

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_events import OutputLogEvent
from tests.standin.cloudwatch_http import (
    BadRequestError,
    HttpAnswer,
    HttpRequest,
    answer_head,
    chunk,
    read_request,
)
from tests.standin.cloudwatch_rules import RefusalError
from tests.standin.cloudwatch_service import answered, refused
from tests.standin.cloudwatch_settings import Settings, changed
from tests.standin.cloudwatch_store import DigestedEvents, KeptEvents, LogStream, StoredEvent

READ_AHEAD_BYTES = 2 * 1_048_576
EVENTS_A_CHUNK = 500


class Connections:
    """Serves the connections of one account.

    Args:
        account: what all of them work on.
    """

    def __init__(self, account: Account) -> None:
        self.account = account

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answers the requests of one connection until one side ends it."""
        try:
            while (request := await read_request(reader, writer)) is not None:
                if not await self._answer(request, reader, writer) or request.closes:
                    break
        except BadRequestError as error:
            answer = HttpAnswer(error.status, "text/plain", str(error).encode())
            await self._send(answer, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(
        self, request: HttpRequest, reader: StreamReader, writer: StreamWriter
    ) -> bool:
        if (request.method, request.path) == ("GET", "/_events"):
            return await self._send_events(request, writer)
        if request.target == "/" and request.method == "POST":
            answer = await answered(self.account, request, reader)
        else:
            answer = self._observed(request)
        if answer is None:
            writer.transport.abort()
            return False
        await self._send(answer, writer)
        return True

    async def _send(self, answer: HttpAnswer, writer: StreamWriter) -> None:
        length = ("Content-Length", str(len(answer.body)))
        headers = [length, ("x-amzn-RequestId", str(uuid4()))]
        head = answer_head(answer.status, answer.content_type, self.account.now_ms(), headers)
        writer.write(head + answer.body)
        await writer.drain()

    async def _send_events(self, request: HttpRequest, writer: StreamWriter) -> bool:
        try:
            events = list(self._stream(request).archive.ingested())
        except RefusalError as refusal:
            await self._send(refused(refusal), writer)
            return True
        more = [("Transfer-Encoding", "chunked")]
        writer.write(answer_head(200, "application/x-ndjson", self.account.now_ms(), more))
        for at in range(0, len(events), EVENTS_A_CHUNK):
            writer.write(chunk(_lines(events[at : at + EVENTS_A_CHUNK])))
            await writer.drain()
        writer.write(chunk(b""))
        await writer.drain()
        return True

    def _observed(self, request: HttpRequest) -> HttpAnswer:
        try:
            return HttpAnswer(200, "application/json", json.encode(self._view(request)))
        except (ValidationError, DecodeError) as error:
            return HttpAnswer(400, "text/plain", str(error).encode())
        except RefusalError as refusal:
            return refused(refusal)

    def _view(self, request: HttpRequest) -> object:
        match request.method, request.path:
            case "POST", "/_control":
                self.account.change(request.body)
                return self.account.settings
            case "GET", "/_control":
                return self.account.settings
            case "GET", "/_calls":
                return self.account.calls
            case "POST", "/_events":
                return self._rewrite(request)
            case "GET", "/_digest":
                archive = self._stream(request).archive
                return {"stored": archive.count(), "distinct": archive.distinct()}
            case _:
                raise RefusalError("UnknownOperationException", "There is nothing here.", 404)

    def _rewrite(self, request: HttpRequest) -> int:
        """Gives a stream other events than it was sent, and returns how many."""
        stream = self._stream(request)
        events = [
            StoredEvent(
                one.timestamp,
                one.message,
                one.ingestion_time,
                self.account.next_number(),
                0.0,
            )
            for one in json.decode(request.body, type=list[OutputLogEvent])
        ]
        stream.archive.rewrite(events)
        return len(events)

    def _stream(self, request: HttpRequest) -> LogStream:
        query = request.query
        return self.account.group(query.get("group", "")).stream(query.get("stream", ""))


def main(arguments: Sequence[str]) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        arguments: of the command line.
    """
    options = _parser().parse_args(arguments)
    archive = DigestedEvents if options.discard_messages else KeptEvents
    settings = changed(Settings(), options.settings.encode())
    asyncio.run(_serve(Connections(Account(settings, archive)), options.host, options.port))


async def _serve(connections: Connections, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Nothing here is worth saving, and a call that hangs must not hold the process.
        loop.add_signal_handler(number, os._exit, 0)
    server = await asyncio.start_server(
        connections.serve, host, port, limit=READ_AHEAD_BYTES, backlog=1024
    )
    ready = json.encode({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()})
    sys.stdout.write(f"{ready.decode()}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A strict stand-in for CloudWatch Logs.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--settings", default="{}", help="JSON, as for POST /_control")
    parser.add_argument(
        "--discard-messages", action="store_true", help="keep 16 bytes of each event"
    )
    return parser


def _lines(events: Sequence[StoredEvent]) -> bytes:
    shown = [
        {"timestamp": e.timestamp, "message": e.message, "ingestionTime": e.ingestion_time}
        for e in events
    ]
    return json.Encoder().encode_lines(shown)


if __name__ == "__main__":
    main(sys.argv[1:])
