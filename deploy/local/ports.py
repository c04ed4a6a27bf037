"""Which ports the parts of one machine listen on: defaults, choices, and whether they are free."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.local.program import LOOPBACK
from deploy.local.seaweedfs import GRPC_OFFSET

HIGHEST = 65_535

# Variable -> (counted from which other one, how far). One PORT moves all; each can be set by itself.
DERIVED = {
    "AMQP_PORT": ("PORT", 1),
    "AMQP_HTTP_PORT": ("AMQP_PORT", 1),
    "AMQP_DIST_PORT": ("AMQP_PORT", 2),
    "EPMD_PORT": ("AMQP_PORT", 3),
    "PG_PORT": ("PORT", 5),
    "S3_PORT": ("PORT", 6),
    "S3_MASTER_PORT": ("S3_PORT", 1),
    "S3_VOLUME_PORT": ("S3_PORT", 2),
    "S3_FILER_PORT": ("S3_PORT", 3),
}
VARIABLES = ("PORT", *DERIVED)
DEFAULT_PORT = 8080

GATEWAY = ("PORT",)
BROKER = ("AMQP_PORT", "AMQP_HTTP_PORT", "AMQP_DIST_PORT", "EPMD_PORT")
DATABASE = ("PG_PORT",)
STORE = ("S3_PORT", "S3_MASTER_PORT", "S3_VOLUME_PORT", "S3_FILER_PORT")


class PortError(Exception):
    """A port that cannot be had; the text names it and the variable to set."""


@dataclass(frozen=True)
class Listener:
    """A port, and the variable that moves it."""

    port: int
    variable: str


def chosen(environment: Mapping[str, str], remembered: Mapping[str, int]) -> dict[str, int]:
    """The ports that somebody chose: in `environment` now, else as `remembered` from an earlier run."""
    choices = dict(remembered)
    for variable in VARIABLES:
        text = environment.get(variable, "")
        if not text:
            continue
        if not text.isdecimal() or not 0 < int(text) <= HIGHEST:
            raise PortError(f"{variable}={text} is not a port: give a number from 1 to {HIGHEST}")
        choices[variable] = int(text)
    return choices


def resolve(choices: Mapping[str, int]) -> dict[str, int]:
    """Every port: chosen, or counted from another."""
    ports = {"PORT": choices.get("PORT", DEFAULT_PORT)}
    for variable, (other, distance) in DERIVED.items():
        ports[variable] = choices.get(variable, ports[other] + distance)
    return ports


def listeners(ports: Mapping[str, int], variables: Iterable[str]) -> list[Listener]:
    """All sockets that the parts behind `variables` will listen on.

    Raises:
        PortError: two of them are the same, or one is out of range.
    """
    wanted: dict[int, str] = {}
    for variable in variables:
        numbers = [ports[variable]]
        if variable in STORE:
            numbers.append(ports[variable] + GRPC_OFFSET)
        for number in numbers:
            if number > HIGHEST:
                raise PortError(f"port {number} is out of range: set {variable} (SeaweedFS also takes port + 10000)")
            if number in wanted:
                raise PortError(f"port {number} is wanted for {wanted[number]} and {variable}: set one of them")
            wanted[number] = variable
    return [Listener(port, variable) for port, variable in wanted.items()]


def in_use(wanted: Iterable[Listener]) -> list[Listener]:
    """Those that another process holds."""
    return [listener for listener in wanted if not is_free(listener.port)]


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
