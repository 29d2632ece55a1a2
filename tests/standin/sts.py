"""A strict stand-in for AWS's Security Token Service: who may assume which role."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self
from urllib.parse import parse_qsl

ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials>
<AssumedRoleUser><AssumedRoleId>AROA:logscollector</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>"""
# https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"""


class Sts:
    """Gives each caller who may have it a key of its own: `ASIA1`, `ASIA2` and so on.

    Args:
        roles: the external id by the role's ARN, empty for none.
        caller: the access key that may assume them.
        lifetime_seconds: how long a key lives. botocore renews one 15 minutes before its end.
    """

    def __init__(
        self, roles: Mapping[str, str], caller: str, lifetime_seconds: float = 3600
    ) -> None:
        self._roles = roles
        self._caller = caller
        self._lifetime = timedelta(seconds=lifetime_seconds)
        self.assumed: list[str] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, body = stand_in.answer(self.headers["Authorization"], content)
                self.send_response_only(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, authorization: str, content: str) -> tuple[int, bytes]:
        """Returns status and body for a request."""
        asked = dict(parse_qsl(content))
        arn = asked["RoleArn"]
        caller = re.findall("Credential=([^/]+)/", authorization)
        if caller != [self._caller] or self._roles.get(arn) != asked.get("ExternalId", ""):
            return 403, REFUSAL.format(code="AccessDenied").encode()
        self.assumed.append(arn)
        key = f"ASIA{len(self.assumed)}"
        expires = (datetime.now(UTC) + self._lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        secret, token = secret_of(key), f"token-of-{key}"
        given = ANSWER.format(key=key, secret=secret, token=token, expires=expires, arn=arn)
        return 200, given.encode()


def secret_of(key: str) -> str:
    """Returns the secret that goes with a key."""
    return f"secret-of-{key}"
