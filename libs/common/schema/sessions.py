"""The archive and the prearchive: the router opens a session, the archiver writes the rest.

The catalog service writes too, for a refresh alone and with the session's row locked: resources and files that people
have put into the bucket by hand, files whose object is gone or has other bytes, the revision and change that say so.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.common.schema.columns import Id, Time, metadata, now

subject_ids = Sequence("subject_ids", metadata=metadata)
session_ids = Sequence("session_ids", metadata=metadata)

subjects = Table(
    "subjects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, ForeignKey("projects.id"), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_by", Text, nullable=False, server_default=""),
    now("created_at"),
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
    Column("study_key", Text),  # tells sessions of one import apart where there is no study UID (stated.derived_key)
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
    Column("opened_by", Id),  # the import whose own entry this is; null where imports share it
    Column("is_shared", Boolean, nullable=False, server_default=text("false")),  # open to more of its study
    Column("is_direct", Boolean, nullable=False, server_default=text("false")),  # Direct-Archive: hidden until archived
    Column("merged_into", Text),
    Column("created_by", Text, nullable=False, server_default=""),
    now("created_at"),
    now("updated_at"),
    Column("archived_at", Time),
    Column("deleted_at", Time),
    Column("deleted_from", Text, nullable=False, server_default=""),  # its place before
    Index(
        "sessions_of_import",
        "opened_by",
        text("coalesce(study_key, study_instance_uid)"),
        unique=True,
        postgresql_where=text("opened_by is not null"),
    ),
    Index(
        "sessions_shared",
        text("coalesce(project, 'Unassigned')"),
        "study_instance_uid",
        "label",
        unique=True,
        postgresql_where=text("is_shared and place = 'prearchive'"),
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
    Index("sessions_receiving", "updated_at", postgresql_where=text("place = 'prearchive' and status = 'RECEIVING'")),
    Index("sessions_by_subject", "subject_id"),
)
scans = Table(
    "scans",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("scan_id", Text, nullable=False),
    Column("series_instance_uid", Text, nullable=False),
    Column("series_key", Text),  # tells scans of one session apart where there is no series UID (stated.derived_key)
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
assessors = Table(  # what has been made of a session, such as a quality check; experiments with IDs of the same kind
    "assessors",
    metadata,
    Column("row", BigInteger, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("xsi_type", Text, nullable=False),
    Column("document", Text, nullable=False),  # its XML as it was sent, without files
    Column("fields", JSONB, nullable=False, server_default=text("'{}'")),  # XML path -> value
    Column("created_by", Text, nullable=False, server_default=""),
    now("created_at"),
    UniqueConstraint("session_id", "label"),
)
resources = Table(
    "resources",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("scan", BigInteger, ForeignKey("scans.id", ondelete="CASCADE")),
    Column("assessor", BigInteger, ForeignKey("assessors.row", ondelete="CASCADE")),
    Column("label", Text, nullable=False),
    Column("format", Text, nullable=False, server_default=""),
    Column("content", Text, nullable=False, server_default=""),
    Column("file_count", Integer, nullable=False, server_default=text("0")),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("revision", Integer, nullable=False, server_default=text("0")),  # the session's, when last changed
    Index("resources_by_label", "session_id", text("coalesce(scan, -assessor, 0)"), "label", unique=True),
    Index("resources_by_assessor", "assessor", postgresql_where=text("assessor is not null")),
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
    Column("command_id", Id),  # the refresh that found it, put there by hand; null: an import brought it
    Column("created_by", Text, nullable=False, server_default=""),
    now("created_at"),
    UniqueConstraint("resource", "name"),
    Index("files_by_session", "session_id", "sop_instance_uid"),
    Index("files_by_import", "import_id"),
    Index("files_by_key", "object_key", postgresql_using="hash"),
)
replaced_files = Table(  # rows that a change has replaced or taken out, until the grace time ends: it can be undone
    "replaced_files",
    metadata,
    Column("id", BigInteger, primary_key=True),  # that of its row in `files`
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("revision", Integer, nullable=False),  # the session's, whose change took it out
    Column("replaced_by", BigInteger),  # row in `files`; null: nothing took its place
    Column("file", JSONB, nullable=False),  # the row
    Column("object_key", Text, nullable=False),
    now("replaced_at"),
    Index("replaced_files_by_session", "session_id", "revision"),
    Index("replaced_files_by_key", "object_key"),
)
session_changes = Table(  # our outbox: archiver, in the transaction it tells of; catalog: catalogued_at, event.catalogs
    "session_changes",
    metadata,
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("import_id", Id),
    Column("command_id", Id),
    Column("verb", Text, nullable=False),  # received, conflict, archived, updated, ...
    Column("event_id", Id, nullable=False),
    Column("pipelines", Boolean, nullable=False),  # AutoRun wanted
    Column("resources", ARRAY(BigInteger), nullable=False),  # those that changed
    Column("event", JSONB, nullable=False),  # messages.SessionEvent, as it will be told
    Column("project", Text, nullable=False),
    now("changed_at"),
    Column("catalogued_at", Time),
    PrimaryKeyConstraint("session_id", "revision"),
    Index("session_changes_untold", "changed_at", postgresql_where=text("catalogued_at is null")),
    Index("session_changes_by_import", "import_id"),
    Index("session_changes_by_command", "command_id"),
)
