"""Imports: one submission each, with its members and what they agree on."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.common.schema.columns import Id, Time, metadata, now

# written by the gateway up to told_at, by the extractor its lease, listed_at, batch_count, by the archiver merged_at;
# the outcome by whoever ends it (database.end_import)
imports = Table(
    "imports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("login", Text, nullable=False),
    Column("request", JSONB, nullable=False),  # requests.ImportRequest
    Column("size_bytes", BigInteger, nullable=False),  # all sources together
    Column("sha256", Text, nullable=False),  # of the source; of several, of their digests
    Column("listener", Text),  # http-session-listener
    Column("idempotency_key", Text),
    Column("request_sha256", Text, nullable=False, server_default=""),  # parameters and body together
    now("received_at"),
    Column("told_at", Time),
    Column("leased_until", Time),  # an extractor unpacks until then, and longer if it renews
    Column("listed_at", Time),
    Column("batch_count", Integer),
    Column("staged_at", Time),
    Column("merged_at", Time),
    Column("outcome", Text),  # completed, rejected, failed
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("finished_at", Time),
    Column("swept_at", Time),  # archiver: its upload and what nobody took are collected
    Index("imports_unswept", "finished_at", postgresql_where=text("swept_at is null")),
    Index("imports_open", "received_at", postgresql_where=text("outcome is null")),
    Index("imports_by_request", "login", "request_sha256", "received_at"),
    Index("imports_by_listener", "login", "listener", postgresql_where=text("listener is not null")),
    Index(
        "imports_by_idempotency_key",
        "login",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key is not null"),
    ),
)
import_sources = Table(  # gateway
    "import_sources",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),  # a client's name for it; may be PHI
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    PrimaryKeyConstraint("import_id", "ordinal"),
    Index("import_sources_by_key", "object_key"),
)
import_batches = Table(  # extractor; routed_at the router; staged_at the archiver
    "import_batches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("member_count", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("routed_at", Time),
    Column("staged_at", Time),
    UniqueConstraint("import_id", "ordinal"),
)
import_members = Table(  # first block the extractor, second the router, third the archiver
    "import_members",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("batch_id", Id),  # null: skipped by the extractor
    Column("path", Text, nullable=False),
    Column("object_key", Text, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
    Column("span_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("crc32", BigInteger),
    Column("session_id", Text),
    Column("series_instance_uid", Text),
    Column("sop_instance_uid", Text),
    Column("sop_class_uid", Text),
    Column("instance_number", Text),
    Column("number_of_frames", Integer),
    Column("resource_label", Text),
    Column("file_name", Text),  # path below the resource that the router gives; null: the archiver's to make of `path`
    Column("staged_key", Text),
    Column("md5", Text),
    Column("sha256", Text),
    Column("verdict", Text),  # facts.Verdict; the extractor and the router write only `skipped`
    Column("reason", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("import_id", "ordinal"),
    Index("import_members_by_batch", "batch_id", "ordinal"),
    postgresql_with={"fillfactor": "70"},
)
import_series = Table(  # router: what the files of one series in one batch agree on
    "import_series",
    metadata,
    Column("batch_id", Id, ForeignKey("import_batches.id", ondelete="CASCADE"), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("import_id", Id, nullable=False),
    Column("modalities", ARRAY(Text), nullable=False),
    Column("sop_class_uids", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),  # facts.Attributes
    Column("stated", JSONB(none_as_null=True)),  # stated.StatedScan, where the importer itself says what the scan is
    PrimaryKeyConstraint("batch_id", "session_id", "series_instance_uid"),
    Index("import_series_by_import", "import_id"),
)
import_sessions = Table(  # router opens; archiver writes the rest
    "import_sessions",
    metadata,
    Column("import_id", Id, ForeignKey("imports.id", ondelete="CASCADE"), nullable=False),
    Column("session_id", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),  # lowest ordinal of its members seen first: order of the answer
    Column("uri", Text, nullable=False, server_default=""),
    Column("outcome", Text),  # merged, conflict, error, unchanged
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("import_id", "session_id"),
    Index("import_sessions_by_session", "session_id"),
    Index("import_sessions_open", "session_id", postgresql_where=text("outcome is null")),
)
