"""The peer: Debian's Orthanc with its default settings, a fresh index and a fresh storage for each run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.program import LOOPBACK, ROOT, Program
from tests.bench.client import Client, MeasurementError
from tests.bench.measurement import Measured, Upload, measured
from tests.servers import Child, free_ports, wait

PACKAGE = "orthanc"
EXECUTABLE = "Orthanc"  # in /usr/sbin
INSTALLER = ROOT / "deploy" / "local" / "packages.sh"

# Everything else is Orthanc's default, SyncStorageArea (fsync of each file) among it.
SETTINGS = {
    "OverwriteInstances": False,
    "StorageCompression": False,
    "RemoteAccessAllowed": False,  # then it asks nobody on loopback for a password
    "DicomServerEnabled": False,  # its port would be open to the network
}


def install() -> str | None:
    """Make sure that Orthanc is there. Returns why it is not, if so."""
    if _executable() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {PACKAGE} (system package) ...", flush=True)
        subprocess.run(["sh", str(INSTALLER), PACKAGE], stdout=subprocess.DEVNULL, check=False)
        if Path("/run/systemd/system").exists():
            subprocess.run(["systemctl", "disable", "-q", PACKAGE], check=False)  # not at the next boot either
    if _executable() is None:
        return f"{PACKAGE} is not installed and could not be: as root run apt-get install {PACKAGE}"
    return None


def measure(upload: Upload, directory: Path) -> Measured:
    """Start Orthanc in `directory`, send the upload, count what it then holds, and stop it.

    Raises:
        MeasurementError: it did not start, refused the upload, or holds other than the upload's files.
    """
    client = Client(f"http://{LOOPBACK}:{next(free_ports())}")
    command = (_executable() or EXECUTABLE, str(_configured(directory, client)))
    child = Child.started(Program("orthanc", command, directory=directory), directory, os.environ)
    try:
        wait(lambda: _connect(client), [child])
        return _measure(upload, client, child.process.pid)
    except MeasurementError as error:
        raise MeasurementError(f"{error}\n{child.log_tail()}") from error
    finally:
        child.stop(signal.SIGTERM)


def _measure(upload: Upload, client: Client, pid: int) -> Measured:
    facts = _facts(client)
    _, result = measured(upload, lambda: client.send("POST", "/instances", upload.body), {"orthanc": [pid]})
    held = json.loads(client.get("/statistics"))["CountInstances"]
    if held != upload.study.files:
        raise MeasurementError(f"Orthanc holds {held} of {upload.study.files} instances")
    return replace(result, facts=facts)


def _configured(directory: Path, client: Client) -> Path:
    storage = directory / "storage"
    path = directory / "orthanc.json"
    own = {"StorageDirectory": str(storage), "IndexDirectory": str(storage), "HttpPort": urlsplit(client.url).port}
    path.write_text(json.dumps({**SETTINGS, **own}))
    return path


def _connect(client: Client) -> None:
    with socket.create_connection((LOOPBACK, urlsplit(client.url).port or 0), timeout=1):
        pass


def _facts(client: Client) -> dict[str, str]:
    system = json.loads(client.get("/system"))
    plugin = system.get("DatabaseBackendPlugin") or "SQLite"
    return {"orthanc": f"{system['Version']}, index {plugin}, SyncStorageArea default (true since 1.7.4)"}


def _executable() -> str | None:
    return shutil.which(EXECUTABLE, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
