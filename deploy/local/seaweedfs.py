"""SeaweedFS as the local S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from deploy.local.program import LOOPBACK, Program

GRPC_OFFSET = 10_000  # each part also listens here, counted from its HTTP port

# Volumes grow as they fill, nothing is preallocated: 128 of 1 GB hold more than 100 GB, on a small disk what fits.
VOLUME_MB = 1024
VOLUMES = 128

# Go collects earlier as it comes near. It counts what is reserved, also what was never touched: with this limit 300 to
# 320 MB are resident instead of 400 to 550. With 300 MiB a body of 100 MB costs 60 % more CPU time.
MEMORY_LIMIT = "450MiB"


class Acknowledge(Enum):
    """When a PUT is answered; the values are those of the variable S3_FSYNC.

    SYNCED covers a file's bytes; the filer's record of the file is never synced by SeaweedFS 4.48 (seen by strace).
    """

    WRITTEN = "0"  # the operating system has the bytes: they survive a killed server, not a power cut
    SYNCED = "1"  # they are on the disk; 28 % fewer PUTs of 34 KB a second, 16 at a time


@dataclass(frozen=True)
class SeaweedFS:
    """Master, volume server, filer and S3 gateway in one process, with one identity."""

    directory: Path
    port: int
    master_port: int
    volume_port: int
    filer_port: int
    access_key: str
    secret_key: str
    volumes: int = VOLUMES

    @property
    def url(self) -> str:
        """The S3 endpoint."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the one identity's keys."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "scandock",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        keys = self.directory / "s3.json"
        keys.touch(mode=0o600)
        keys.write_text(json.dumps({"identities": [identity]}))

    def programs(self) -> list[Program]:
        """One process. On SIGTERM it takes about 20 s to leave; SIGKILL loses nothing that was acknowledged."""
        options = {
            "dir": "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.port": self.master_port,
            "master.volumeSizeLimitMB": VOLUME_MB,
            "master.electionTimeout": "1s",  # a restarted master waits this long for others; 10 s by default
            "master.telemetry": "false",
            "volume.port": self.volume_port,
            "volume.max": self.volumes,
            "volume.preStopSeconds": 1,
            "filer": "true",
            "filer.port": self.filer_port,
            "filer.localSocket": "filer.sock",
            "s3": "true",
            "s3.port": self.port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": "s3.json",
            "s3.localSocket": "s3.sock",
            "s3.autoCreateBucket": "false",
        }
        command = (str(_weed()), "-logtostderr=true", "server", *(f"-{key}={value}" for key, value in options.items()))
        environment = {
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",  # volumes made at a bucket's first PUT, which waits for them
            "GOMEMLIMIT": MEMORY_LIMIT,
        }
        return [Program("seaweedfs", command, environment, directory=self.directory, stop_seconds=60)]

    def remove_sockets(self) -> None:
        """Remove what a stopped server leaves in /tmp, where it insists on having its gRPC sockets."""
        parts = {"s3": self.port, "master": self.master_port, "volume": self.volume_port, "filer": self.filer_port}
        for part, port in parts.items():
            Path(f"/tmp/seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock").unlink(missing_ok=True)

    def acknowledge(self, bucket: str, when: Acknowledge, deadline: float) -> None:
        """Set when a PUT into `bucket` is answered, from now on; safe to repeat.

        Raises:
            TimeoutError: the server did not take it before the deadline.
        """
        synced = "true" if when is Acknowledge.SYNCED else "false"
        order = f"fs.configure -locationPrefix=/buckets/{bucket}/ -fsync={synced} -apply\n"
        command = (
            str(_weed()),
            "shell",
            f"-master={LOOPBACK}:{self.master_port}",
            f"-filer={LOOPBACK}:{self.filer_port}",
        )
        while True:
            done = subprocess.run(command, input=order, capture_output=True, text=True, timeout=60, check=False)
            if done.returncode == 0 and f'"fsync":  {synced}' in done.stdout:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"SeaweedFS did not take the setting:\n{done.stdout}{done.stderr}")
            time.sleep(0.5)


def _weed() -> Path:
    return Path(sys.executable).parent / "weed"
