"""JSON logs and the metrics of every service, each with its meaning. No PHI: identifiers, counts and codes only."""

import logging
import sys

import structlog
from prometheus_client import Counter, Histogram

messages_handled = Counter(
    "scandock_messages_handled_total", "Messages settled, by type and outcome", ["service", "type", "outcome"]
)
message_seconds = Histogram(
    "scandock_message_seconds",
    "Seconds from delivery to settlement",
    ["service", "type"],
    buckets=(0.01, 0.1, 1, 10, 60, 600),
)
bugs = Counter("scandock_bugs_total", "Failures outside the taxonomy; non-zero is a defect", ["service", "type"])
reconnects = Counter("scandock_broker_reconnects_total", "Broker connections lost and made again", ["service"])


def configure_logs(service: str) -> None:
    """One JSON object a line on stdout; also for the libraries, from WARNING up."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
    )
    structlog.contextvars.bind_contextvars(service=service)


def log() -> structlog.typing.FilteringBoundLogger:
    """The logger; call it where a line is written."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
