"""One upload to one peer, and what it cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.client import PART_BYTES, Answer, Body, MeasurementError
from tests.bench.corpora import Corpus, Packing, large_zip
from tests.bench.instances import Study
from tests.bench.usage import machine_busy_ms, own_cpu_ms, usage

CLIENT = "client"
OTHER = "other"


@dataclass(frozen=True)
class Upload:
    """What is to be taken in, and the body that carries it."""

    study: Study
    body: Body

    @classmethod
    def of_file(cls, corpus: Corpus, path: Path) -> Upload:
        """A corpus that lies in a file."""
        return cls(corpus.study, Body(lambda: _parts(path), corpus.packing.content_type, path.stat().st_size))

    @classmethod
    def streamed(cls, study: Study) -> Upload:
        """A large study as a stored zip, made while it is sent."""
        return cls(study, Body(lambda: large_zip(study), Packing.STORED.content_type))


@dataclass(frozen=True)
class Measured:
    """One upload taken in."""

    files: int
    seconds: float
    cpu_ms: Mapping[str, float]  # by program, with the client's and what the machine did besides
    peak_mb: Mapping[str, float]  # by program, of its largest process
    load_before: float  # the machine's load average over the last minute
    facts: Mapping[str, str] = field(default_factory=dict)  # versions and durability, as the servers tell them

    @property
    def files_per_second(self) -> float:
        """The rate from the first byte sent to the answer received."""
        return self.files / self.seconds


def measured(upload: Upload, send: Callable[[], Answer], programs: Mapping[str, list[int]]) -> tuple[Answer, Measured]:
    """Send an upload, and say what it cost until the answer had come.

    Raises:
        MeasurementError: the answer is not 200.
    """
    os.sync()  # so that it does not pay for what was written before
    load = os.getloadavg()[0]
    before, client_before, machine_before = usage(programs), own_cpu_ms(), machine_busy_ms()
    answer = send()
    machine_after, client_after, after = machine_busy_ms(), own_cpu_ms(), usage(programs)
    if answer.status != 200:
        raise MeasurementError(f"the upload was answered {answer.status}: {answer.body[:2000]!r}")
    cpu_ms = {**after.cpu_ms_since(before), CLIENT: client_after - client_before}
    cpu_ms[OTHER] = max(0.0, machine_after - machine_before - sum(cpu_ms.values()))
    return answer, Measured(upload.study.files, answer.seconds, cpu_ms, after.peak_mb, load)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part
