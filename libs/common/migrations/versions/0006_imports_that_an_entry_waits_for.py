"""Which running imports have files for a session: asked with each merge and command, where thousands share an entry."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "import_sessions_open", "import_sessions", ["session_id"], postgresql_where=sa.text("outcome is null")
    )


def downgrade() -> None:
    op.drop_index("import_sessions_open", table_name="import_sessions")
