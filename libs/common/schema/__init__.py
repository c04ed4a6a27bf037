"""The tables: facts live here, bytes in the bucket (architecture §5).

One writer per column, named behind each table or above its module. Migrations beside this package make them; a test
compares both.
"""

from libs.common.schema.accounts import cache_files, configs, logins, memberships, project_aliases, projects, users
from libs.common.schema.columns import metadata
from libs.common.schema.commands import commands
from libs.common.schema.imports import (
    import_batches,
    import_members,
    import_series,
    import_sessions,
    import_sources,
    imports,
)
from libs.common.schema.sessions import (
    assessors,
    files,
    replaced_files,
    resources,
    scans,
    session_changes,
    session_ids,
    sessions,
    subject_ids,
    subjects,
)

__all__ = [
    "assessors", "cache_files", "commands", "configs", "files", "import_batches", "import_members", "import_series",
    "import_sessions", "import_sources", "imports", "logins", "memberships", "metadata", "project_aliases", "projects",
    "replaced_files", "resources", "scans", "session_changes", "session_ids", "sessions", "subject_ids", "subjects",
    "users",
]  # fmt: skip
