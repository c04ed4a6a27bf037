"""The tables: facts live here, bytes in the bucket (architecture §5).

One writer per column, named behind each table. Migrations beside this file make them; a test compares both.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()
Id = postgresql.UUID(as_uuid=True)
Time = DateTime(timezone=True)

subject_ids = Sequence("subject_ids", metadata=metadata)
session_ids = Sequence("session_ids", metadata=metadata)


def _now(name: str) -> Column[object]:
    return Column(name, Time, nullable=False, server_default=func.now())


# accounts and projects: written by the gateway and the command line
users = Table(
    "users",
    metadata,
    Column("login", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),  # argon2id, encoded
    Column("first_name", Text, nullable=False, server_default=""),
    Column("last_name", Text, nullable=False, server_default=""),
    Column("email", Text, nullable=False, server_default=""),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("admin", Boolean, nullable=False, server_default=text("false")),
    _now("created_at"),
)
logins = Table(  # a JSESSIONID; only its digest is kept
    "logins",
    metadata,
    Column("token_sha256", Text, primary_key=True),
    Column("login", Text, ForeignKey("users.login", ondelete="CASCADE"), nullable=False),
    _now("created_at"),
    Column("expires_at", Time, nullable=False),
)
projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("secondary_id", Text, nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("accessibility", Text, nullable=False, server_default="private"),  # public, protected, private
    Column("prearchive_code", Integer, nullable=False, server_default=text("0")),
    Column("quarantine_code", Integer, nullable=False, server_default=text("0")),
    Column("created_by", Text, nullable=False, server_default=""),
    _now("created_at"),
)
project_aliases = Table(
    "project_aliases",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
)
memberships = Table(
    "memberships",
    metadata,
    Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("login", Text, ForeignKey("users.login", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),  # owner, member, collaborator
    PrimaryKeyConstraint("project", "login"),
)

# one submission: written by the gateway up to told_at, by the extractor listed_at and batch_count,
# by the archiver merged_at; the outcome by whoever ends it (database.finish_import)
imports = Table(
    "imports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("login", Text, nullable=False),
    Column("request", JSONB, nullable=False),  # requests.ImportRequest
    Column("source_key", Text, nullable=False),
    Column("source_name", Text, nullable=False, server_default=""),  # a client's name for it; may be PHI
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request_sha256", Text, nullable=False, server_default=""),  # parameters and body together
    _now("received_at"),
    Column("told_at", Time),
    Column("listed_at", Time),
    Column("batch_count", Integer),
    Column("staged_at", Time),
    Column("merged_at", Time),
    Column("outcome", Text),  # completed, rejected, failed
    Column("code", Text, nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("finished_at", Time),
    Index("imports_open", "received_at", postgresql_where=text("outcome is null")),
    Index("imports_by_request", "login", "request_sha256", "received_at"),
    Index(
        "imports_by_idempotency_key",
        "login",
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key is not null"),
    ),
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
    Column("catalogued_at", Time),
    PrimaryKeyConstraint("import_id", "session_id"),
)

# the archive and the prearchive: router opens a session, archiver writes the rest, catalog the catalog columns
subjects = Table(
    "subjects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, ForeignKey("projects.id"), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_by", Text, nullable=False, server_default=""),
    _now("created_at"),
    Index("subjects_by_label", "project", text("lower(label)"), unique=True),
)
sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("place", Text, nullable=False),  # opening, prearchive, archive, merged, deleted
    Column("status", Text, nullable=False),  # XNAT's prearchive status; ARCHIVED in the archive
    Column("status_reason", Text, nullable=False, server_default=""),
    Column("project", Text, ForeignKey("projects.id")),  # null: Unassigned
    Column("subject_id", Text, ForeignKey("subjects.id")),
    Column("subject_label", Text, nullable=False, server_default=""),
    Column("label", Text, nullable=False, server_default=""),
    Column("timestamp", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("prefix", Text, nullable=False),  # sessions/{project}/{id}/
    Column("study_instance_uid", Text, nullable=False, server_default=""),
    Column("xsi_type", Text, nullable=False, server_default=""),
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'")),
    Column("fields", JSONB, nullable=False, server_default=text("'{}'")),  # XML path -> value, set by the sender
    Column("auto_archive", Boolean),
    Column("prevent_auto_commit", Boolean, nullable=False, server_default=text("false")),
    Column("prevent_anon", Boolean, nullable=False, server_default=text("false")),
    Column("visit", Text, nullable=False, server_default=""),
    Column("protocol", Text, nullable=False, server_default=""),
    Column("timezone", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False, server_default=""),
    Column("quarantined", Boolean, nullable=False, server_default=text("false")),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("opened_by", Id),  # the import whose entry this is
    Column("merged_into", Text),
    Column("created_by", Text, nullable=False, server_default=""),
    _now("created_at"),
    _now("updated_at"),
    Column("archived_at", Time),
    Index(
        "sessions_of_import",
        "opened_by",
        "study_instance_uid",
        unique=True,
        postgresql_where=text("opened_by is not null"),
    ),
    Index("sessions_archived", "project", "label", unique=True, postgresql_where=text("place = 'archive'")),
    Index(
        "sessions_prearchived",
        text("coalesce(project, 'Unassigned')"),
        "timestamp",
        "folder",
        unique=True,
        postgresql_where=text("place in ('opening', 'prearchive')"),
    ),
    Index("sessions_by_subject", "subject_id"),
)
scans = Table(
    "scans",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("scan_id", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("xsi_type", Text, nullable=False),
    Column("type", Text, nullable=False, server_default=""),
    Column("quality", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
    Column("modality", Text, nullable=False, server_default=""),
    Column("modalities", ARRAY(Text), nullable=False),
    Column("sop_class_uids", ARRAY(Text), nullable=False),
    Column("attributes", JSONB, nullable=False),
    UniqueConstraint("session_id", "scan_id"),
)
resources = Table(
    "resources",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("scan", BigInteger, ForeignKey("scans.id", ondelete="CASCADE")),
    Column("label", Text, nullable=False),
    Column("format", Text, nullable=False, server_default=""),
    Column("content", Text, nullable=False, server_default=""),
    Column("file_count", Integer, nullable=False, server_default=text("0")),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("revision", Integer, nullable=False, server_default=text("0")),  # the session's, when last changed
    Index("resources_by_label", "session_id", text("coalesce(scan, 0)"), "label", unique=True),
)
files = Table(
    "files",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("session_id", Text, nullable=False),
    Column("resource", BigInteger, ForeignKey("resources.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),  # path below the resource
    Column("object_key", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("md5", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("sop_instance_uid", Text, nullable=False, server_default=""),
    Column("sop_class_uid", Text, nullable=False, server_default=""),
    Column("instance_number", Text, nullable=False, server_default=""),
    Column("number_of_frames", Integer, nullable=False, server_default=text("1")),
    Column("import_id", Id),
    Column("created_by", Text, nullable=False, server_default=""),
    _now("created_at"),
    UniqueConstraint("resource", "name"),
    Index("files_by_session", "session_id", "sop_instance_uid"),
    Index("files_by_import", "import_id"),
)
session_changes = Table(  # our outbox: archiver, in the transaction it tells of; catalog: catalogued_at, event.catalogs
    "session_changes",
    metadata,
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("import_id", Id),
    Column("verb", Text, nullable=False),  # received, conflict, archived, updated, ...
    Column("event_id", Id, nullable=False),
    Column("pipelines", Boolean, nullable=False),  # AutoRun wanted
    Column("resources", ARRAY(BigInteger), nullable=False),  # those that changed
    Column("event", JSONB, nullable=False),  # messages.SessionEvent, as it will be told
    Column("project", Text, nullable=False),
    _now("changed_at"),
    Column("catalogued_at", Time),
    PrimaryKeyConstraint("session_id", "revision"),
    Index("session_changes_untold", "changed_at", postgresql_where=text("catalogued_at is null")),
    Index("session_changes_by_import", "import_id"),
)
