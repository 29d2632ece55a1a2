"""A real S3 server, SeaweedFS, in the place of Lyve Cloud."""

import contextlib
import json
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.standin.moto_process import GRPC_OFFSET, LOOPBACK, ServerProcess, free_ports

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"
SERVICES = ("s3", "master", "volume", "filer", "admin")
# The server makes a socket here for each of its ports, and leaves them when it is killed.
SOCKETS = Path("/tmp")  # noqa: S108 - the place is the server's choice
PROBE_BUCKET = "readiness-probe"


class SeaweedFS:
    """An S3 server of its own, with its own credentials, between `with` and its end.

    It is `weed mini`, which answers after about 0.8 s; `weed server`, the same services, takes 3 s:
    https://github.com/seaweedfs/seaweedfs/wiki/Quick-Start-with-weed-mini

    Args:
        directory: an existing one; the server's data and its log stay in it.
    """

    access_key = "demo-access-key"
    secret_key = "demo-secret-key"
    region = REGION

    def __init__(self, directory: Path) -> None:
        self._ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        self.endpoint_url = f"http://{LOOPBACK}:{self._ports['s3']}"
        self._directory = directory

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_sockets)
            log_path = self._directory / "seaweedfs.log"
            server = stack.enter_context(ServerProcess(self._command(), log_path))
            probe = self.client()
            server.wait_until(lambda: _can_make_a_bucket(probe))
            probe.delete_bucket(Bucket=PROBE_BUCKET)
            self._at_end = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._at_end.close()

    def client(self) -> "S3Client":
        """Returns a new boto3 client of this server, without retries."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def _command(self) -> list[str]:
        weed = shutil.which("weed", path=sysconfig.get_path("scripts"))
        data = self._directory / "data"
        data.mkdir()
        options = {
            "dir": data,
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "s3.config": self._write_identity(),
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
        }
        options |= {f"{service}.port": port for service, port in self._ports.items()}
        arguments = [f"-{name}={value}" for name, value in options.items()]
        return [str(weed), "-logtostderr", "mini", *arguments]

    def _write_identity(self) -> Path:
        credentials = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "owner", "credentials": [credentials], "actions": actions}
        path = self._directory / "identity.json"
        path.write_text(json.dumps({"identities": [identity]}))
        return path

    def _remove_sockets(self) -> None:
        for service, port in self._ports.items():
            for name in (f"{service}-{port}", f"{service}-grpc-{port + GRPC_OFFSET}"):
                (SOCKETS / f"seaweedfs-{name}.sock").unlink(missing_ok=True)


def _can_make_a_bucket(client: "S3Client") -> bool:
    with contextlib.suppress(BotoCoreError, ClientError):
        client.create_bucket(Bucket=PROBE_BUCKET)
        return True
    return False
