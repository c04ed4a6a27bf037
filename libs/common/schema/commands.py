"""Commands: what is to be done to sessions. Gateway up to told_at; whose kind it is, archiver or catalog, the rest."""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from libs.common.schema.columns import Id, Time, metadata, now

commands = Table(
    "commands",
    metadata,
    Column("id", Id, primary_key=True),
    Column("login", Text, nullable=False),
    Column("kind", Text, nullable=False),  # requests.CommandKind
    Column("request", JSONB, nullable=False),  # requests.Command
    Column("session_id", Text),  # the session that it is about; one at a time runs on each
    Column("parent_id", Id, ForeignKey("commands.id", ondelete="CASCADE")),  # whose part it is
    Column("listener", Text),  # http-session-listener
    now("received_at"),
    Column("told_at", Time),
    Column("done_at", Time),  # its effect is committed; the outcome may wait for catalogs
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),  # requests.CommandResult
    Column("outcome", Text),  # completed, rejected, failed
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("finished_at", Time),
    Index("commands_open", "received_at", postgresql_where=text("outcome is null")),
    Index("commands_by_session", "session_id", postgresql_where=text("outcome is null")),
    Index("commands_by_parent", "parent_id"),
    Index("commands_by_listener", "login", "listener", postgresql_where=text("listener is not null")),
)
