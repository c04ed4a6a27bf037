"""Commands, several sources an import, the user cache, configuration, and what undoes a change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.UUID(), nullable=True),
        sa.Column("listener", sa.Text(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("code", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["commands.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "commands_by_listener",
        "commands",
        ["login", "listener"],
        unique=False,
        postgresql_where=sa.text("listener is not null"),
    )
    op.create_index("commands_by_parent", "commands", ["parent_id"], unique=False)
    op.create_index(
        "commands_by_session", "commands", ["session_id"], unique=False, postgresql_where=sa.text("outcome is null")
    )
    op.create_index(
        "commands_open", "commands", ["received_at"], unique=False, postgresql_where=sa.text("outcome is null")
    )
    op.create_table(
        "cache_files",
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["login"], ["users.login"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("login", "path"),
        sa.UniqueConstraint("object_key"),
    )
    op.create_table(
        "configs",
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("contents", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], ondelete="CASCADE"),
    )
    op.create_index(
        "configs_by_path",
        "configs",
        [sa.literal_column("coalesce(project, '')"), "tool", "path", "version"],
        unique=True,
    )
    op.create_table(
        "import_sources",
        sa.Column("import_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("import_id", "ordinal"),
    )
    op.create_index("import_sources_by_key", "import_sources", ["object_key"], unique=False)
    op.create_table(
        "replaced_files",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("replaced_by", sa.BigInteger(), nullable=True),
        sa.Column("file", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("replaced_files_by_key", "replaced_files", ["object_key"], unique=False)
    op.create_index("replaced_files_by_session", "replaced_files", ["session_id", "revision"], unique=False)
    op.add_column("import_members", sa.Column("file_name", sa.Text(), nullable=True))
    op.create_index("import_sessions_by_session", "import_sessions", ["session_id"], unique=False)
    op.drop_column("import_sessions", "catalogued_at")
    op.add_column("imports", sa.Column("listener", sa.Text(), nullable=True))
    op.add_column("imports", sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "imports_by_listener",
        "imports",
        ["login", "listener"],
        unique=False,
        postgresql_where=sa.text("listener is not null"),
    )
    op.execute(
        "insert into import_sources (import_id, ordinal, object_key, name, size_bytes, sha256)"
        " select id, 0, source_key, source_name, size_bytes, sha256 from imports"
    )
    op.drop_column("imports", "source_key")
    op.drop_column("imports", "source_name")
    op.add_column("session_changes", sa.Column("command_id", sa.UUID(), nullable=True))
    op.create_index("session_changes_by_command", "session_changes", ["command_id"], unique=False)
    op.add_column("sessions", sa.Column("is_shared", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("sessions", sa.Column("is_direct", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("sessions", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("deleted_from", sa.Text(), server_default="", nullable=False))
    op.create_index(
        "sessions_shared",
        "sessions",
        [sa.literal_column("coalesce(project, 'Unassigned')"), "study_instance_uid", "label"],
        unique=True,
        postgresql_where=sa.text("is_shared and place = 'prearchive'"),
    )


def downgrade() -> None:
    op.drop_index(
        "sessions_shared", table_name="sessions", postgresql_where=sa.text("is_shared and place = 'prearchive'")
    )
    op.drop_column("sessions", "deleted_from")
    op.drop_column("sessions", "deleted_at")
    op.drop_column("sessions", "is_direct")
    op.drop_column("sessions", "is_shared")
    op.drop_index("session_changes_by_command", table_name="session_changes")
    op.drop_column("session_changes", "command_id")
    op.add_column("imports", sa.Column("source_name", sa.TEXT(), server_default="", nullable=False))
    op.add_column("imports", sa.Column("source_key", sa.TEXT(), server_default="", nullable=False))
    op.drop_index("imports_by_listener", table_name="imports", postgresql_where=sa.text("listener is not null"))
    op.drop_column("imports", "leased_until")
    op.drop_column("imports", "listener")
    op.add_column(
        "import_sessions",
        sa.Column("catalogued_at", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=True),
    )
    op.drop_index("import_sessions_by_session", table_name="import_sessions")
    op.drop_column("import_members", "file_name")
    op.drop_index("replaced_files_by_session", table_name="replaced_files")
    op.drop_index("replaced_files_by_key", table_name="replaced_files")
    op.drop_table("replaced_files")
    op.execute(
        "update imports set source_key = s.object_key, source_name = s.name from import_sources s"
        " where s.import_id = imports.id and s.ordinal = 0"
    )
    op.alter_column("imports", "source_key", server_default=None)
    op.drop_index("import_sources_by_key", table_name="import_sources")
    op.drop_table("import_sources")
    op.drop_index("configs_by_path", table_name="configs")
    op.drop_table("configs")
    op.drop_table("cache_files")
    op.drop_index("commands_open", table_name="commands", postgresql_where=sa.text("outcome is null"))
    op.drop_index("commands_by_session", table_name="commands", postgresql_where=sa.text("outcome is null"))
    op.drop_index("commands_by_parent", table_name="commands")
    op.drop_index("commands_by_listener", table_name="commands", postgresql_where=sa.text("listener is not null"))
    op.drop_table("commands")
