"""`make bench`: how fast, at what cost, and beside Orthanc. Every run starts its servers anew with no data (cold)."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.program import ROOT
from deploy.local.seaweedfs import Acknowledge
from tests.bench import machine, orthanc, report, scandock
from tests.bench.client import MeasurementError
from tests.bench.corpora import ALL, Corpus, Packing, large_study
from tests.bench.measurement import Measured, Upload
from tests.bench.report import ORTHANC, SCANDOCK, Cell, Run
from tests.servers import StartError

DIRECTORY = ROOT / "var" / "bench"
CORPORA = DIRECTORY / "corpora"
LARGE = "large"
LARGE_WAIT_SECONDS = 3600

Measure = Callable[[Path], Measured]


def main() -> int:
    options = _options()
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # stops the servers on the way out
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    cores = machine.use_cores(options.cores)
    facts: dict[str, object] = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(cores, DIRECTORY),
        "command": " ".join(sys.argv[1:]),
        "start": "cold: every run has new servers without data",
    }
    cells = _large(options) if options.large else _compared(options)
    found = [run.measured for cell in cells for run in cell.runs if run.measured]
    facts["servers"] = {name: fact for each in found for name, fact in each.facts.items()}
    results = DIRECTORY / f"results-{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json"
    report.write_json(results, facts, cells)
    print(f"\n{report.tables(cells)}\n")
    for part in ("machine", "servers"):
        print("; ".join(f"{name}: {fact}" for name, fact in dict(facts[part]).items()))  # type: ignore[call-overload]
    print(f"written to {results.relative_to(ROOT)}")
    return 1 if any(cell.failures for cell in cells) else 0


def _options() -> argparse.Namespace:
    names = [corpus.name for corpus in ALL]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default=",".join(names), help=f"corpora, by commas; of {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=3, help="of each corpus and peer (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the corpora; 0.05 for a quick trial")
    parser.add_argument("--cores", type=int, default=2, help="processors for everything together (default 2)")
    parser.add_argument("--s3-fsync", action="store_true", help="SeaweedFS syncs files, as with S3_FSYNC=1 make up")
    parser.add_argument("--large", action="store_true", help="instead: one upload of 10 GB, 20,000 files")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(names):
        parser.error(f"no such corpus: {', '.join(sorted(unknown))}")
    return options


def _compared(options: argparse.Namespace) -> list[Cell]:
    """Every corpus `runs` times, Scandock and Orthanc by turns; whoever was second begins the next time."""
    why_alone = orthanc.install()
    if why_alone:
        print(f"Without a peer: {why_alone}", flush=True)
    corpora = [corpus.scaled(options.scale) for corpus in ALL if corpus.name in options.only.split(",")]
    uploads = {corpus.name: _upload(corpus) for corpus in corpora}
    cells = [Cell(corpus.name, corpus.study.files, _megabytes(uploads[corpus.name])) for corpus in corpora]
    for number in range(1, options.runs + 1):
        for corpus, cell in zip(corpora, cells, strict=True):
            ours, theirs = uploads[corpus.name], _upload(_readable_by_orthanc(corpus))
            peers: list[tuple[str, Measure]] = [(SCANDOCK, _scandock(ours, options))]
            if not why_alone:
                peers.append((ORTHANC, _orthanc(theirs)))
            for peer, measure in peers if number % 2 else reversed(peers):
                cell.runs.append(_run(cell.name, peer, number, measure))
    return cells


def _large(options: argparse.Namespace) -> list[Cell]:
    """The large upload once, to Scandock alone: Orthanc would hold it in memory."""
    os.environ["SCANDOCK_WAIT_SECONDS"] = str(LARGE_WAIT_SECONDS)  # inherited by the gateway; the answer is the end
    study = large_study(options.scale)
    cell = Cell(LARGE, study.files, study.files * len(next(study.similar_instances()).content) / 1e6)
    cell.runs.append(_run(LARGE, SCANDOCK, 1, _scandock(Upload.streamed(study), options)))
    return [cell]


def _scandock(upload: Upload, options: argparse.Namespace) -> Measure:
    acknowledge = Acknowledge.SYNCED if options.s3_fsync else Acknowledge.WRITTEN
    return lambda directory: scandock.measure(upload, directory, acknowledge)


def _orthanc(upload: Upload) -> Measure:
    return lambda directory: orthanc.measure(upload, directory)


def _readable_by_orthanc(corpus: Corpus) -> Corpus:
    """Orthanc takes no tar: it gets the same files as a zip."""
    return Corpus(corpus.study, Packing.ZIP) if corpus.packing is Packing.TGZ else corpus


def _upload(corpus: Corpus) -> Upload:
    if not corpus.path(CORPORA).exists():
        print(f"Making {corpus.name} with {corpus.study.files} files ...", flush=True)
    return Upload.of_file(corpus, corpus.ensure(CORPORA))


def _megabytes(upload: Upload) -> float:
    return (upload.body.size or 0) / 1e6


def _run(name: str, peer: str, number: int, measure: Measure) -> Run:
    with _fresh_directory() as directory:
        try:
            result = measure(directory)
        except (MeasurementError, StartError) as error:
            return _failed(name, peer, number, error)
    print(f"{name} {peer} run {number}: {result.files_per_second:.1f} files/s", flush=True)
    return Run(peer, number, result)


def _failed(name: str, peer: str, number: int, error: Exception) -> Run:
    """What is left of a failed run: its reason, and the ends of the logs in a file."""
    log = DIRECTORY / f"failed-{name}-{peer}-{number}.log"
    log.write_text(f"{error}\n")
    reason = str(error).partition("\n")[0]
    print(f"{name} {peer} run {number}: FAILED: {reason} (see {log.relative_to(ROOT)})", flush=True)
    return Run(peer, number, error=reason)


@contextlib.contextmanager
def _fresh_directory() -> Iterator[Path]:
    directory = DIRECTORY / f"run-{os.getpid()}"
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
