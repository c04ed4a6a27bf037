"""A plain HTTP client: sends a body part by part, and takes the time."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PART_BYTES = 256 * 1024
TIMEOUT_SECONDS = 3600


class MeasurementError(Exception):
    """A run that does not count: the text says what went wrong."""


@dataclass(frozen=True)
class Body:
    """What a request carries, made anew each time it is sent; without a size it goes in chunks."""

    parts: Callable[[], Iterator[bytes]]
    content_type: str
    size: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What is said of it."""
        length = {} if self.size is None else {"Content-Length": str(self.size)}
        return {"Content-Type": self.content_type, **length}


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took from the first byte sent to the last byte received."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Client:
    """One server, with the same headers on every request."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def with_password(cls, url: str, user: str, password: str) -> Client:
        """A client that authenticates by HTTP Basic with every request."""
        token = b64encode(f"{user}:{password}".encode()).decode()
        return cls(url, {"Authorization": f"Basic {token}"})

    def get(self, path: str) -> bytes:
        """The body of a GET.

        Raises:
            MeasurementError: the answer is not 200.
        """
        answer = self.send("GET", path)
        if answer.status != 200:
            raise MeasurementError(f"GET {path} answered {answer.status}: {answer.body[:500]!r}")
        return answer.body

    def send(self, method: str, path: str, body: Body | None = None) -> Answer:
        """One request on a connection of its own.

        Raises:
            MeasurementError: the connection broke before an answer came.
        """
        target = urlsplit(self.url)
        connection = HTTPConnection(target.hostname or "", target.port, timeout=TIMEOUT_SECONDS)
        headers = {**self.headers, **(body.headers if body else {})}
        try:
            connection.connect()
            started = time.perf_counter()
            connection.request(method, path, body.parts() if body else None, headers)
            response = connection.getresponse()
            content = response.read()
            return Answer(response.status, content, time.perf_counter() - started)
        except (OSError, HTTPException) as error:
            raise MeasurementError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
