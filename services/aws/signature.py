"""Signs requests of one kind, again and again: AWS Signature Version 4 in a header."""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials

from services.aws.connection import host_of, target_of

_ALGORITHM = "AWS4-HMAC-SHA256"


class Signer:
    """Signs requests to one service; botocore's own signer takes ten times as long.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

    Args:
        credentials: asked for their keys at each request: those of a role change.
        service: as it is called in signatures, such as `logs`.
        region: of the service.
        endpoint_url: of the service.
    """

    def __init__(
        self, credentials: Credentials, service: str, region: str, endpoint_url: str
    ) -> None:
        self._credentials = credentials
        self._host = host_of(endpoint_url)
        self._scope = f"{region}/{service}/aws4_request"
        self._derived: tuple[str, str, bytes] = "", "", b""
        # Only S3 wants the digest of the body in a header.
        self._tells_digest = service == "s3"

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AWSPreparedRequest:
        """Returns a signed request; an answer to a request without a body is streamed.

        Args:
            method: of HTTP.
            url: of the endpoint, with a path that is encoded, and without a query.
            headers: to be sent and signed, beside those of the signature.
            body: all of it.
        """
        keys = self._credentials.get_frozen_credentials()
        moment = get_current_datetime().isoformat(timespec="seconds")
        stamp = moment.replace("-", "").replace(":", "") + "Z"
        digest = sha256(body).hexdigest()
        signed = {
            **headers,
            "Host": self._host,
            "X-Amz-Date": stamp,
            **({"X-Amz-Content-SHA256": digest} if self._tells_digest else {}),
            **({"X-Amz-Security-Token": keys.token} if keys.token else {}),
        }
        lower = sorted((name.lower(), " ".join(value.split())) for name, value in signed.items())
        names = ";".join(name for name, _ in lower)
        lines = "".join(f"{name}:{value}\n" for name, value in lower)
        asked = f"{method}\n{target_of(url)}\n\n{lines}\n{names}\n{digest}"
        scope = f"{stamp[:8]}/{self._scope}"
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(asked.encode()).hexdigest()}"
        signature = hmac.digest(
            self._key(str(keys.secret_key), scope), text.encode(), "sha256"
        ).hex()
        signed["Authorization"] = (
            f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return AWSPreparedRequest(
            method,
            url,
            signed,  # type: ignore[arg-type] # any mapping will do
            body or None,
            stream_output=not body,
        )

    def _key(self, secret: str, scope: str) -> bytes:
        """Returns a day's signing key, derived from the secret."""
        known_secret, known_scope, key = self._derived
        if (known_secret, known_scope) != (secret, scope):
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived = secret, scope, key
        return key
