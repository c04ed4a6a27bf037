"""Accounts, projects and their settings: written by the gateway and the command line."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from libs.common.schema.columns import Time, metadata, now

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
    now("created_at"),
)
logins = Table(  # a JSESSIONID; only its digest is kept
    "logins",
    metadata,
    Column("token_sha256", Text, primary_key=True),
    Column("login", Text, ForeignKey("users.login", ondelete="CASCADE"), nullable=False),
    now("created_at"),
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
    now("created_at"),
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

configs = Table(  # a change is a new row; the highest version counts. Site preferences are those of tool `siteConfig`
    "configs",
    metadata,
    Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE")),  # null: the site's
    Column("tool", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("contents", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created_by", Text, nullable=False, server_default=""),
    now("created_at"),
    Index("configs_by_path", text("coalesce(project, '')"), "tool", "path", "version", unique=True),
)
cache_files = Table(  # XNAT's user cache; each PUT is a new key, so an import that names one keeps its bytes
    "cache_files",
    metadata,
    Column("login", Text, ForeignKey("users.login", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),  # {resource}/{path of the file}
    Column("object_key", Text, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    now("created_at"),
    PrimaryKeyConstraint("login", "path"),
)
