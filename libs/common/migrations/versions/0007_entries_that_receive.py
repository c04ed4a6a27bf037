"""The entries that receive: asked for with each sweep, among all sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "sessions_receiving",
        "sessions",
        ["updated_at"],
        postgresql_where=sa.text("place = 'prearchive' and status = 'RECEIVING'"),
    )


def downgrade() -> None:
    op.drop_index("sessions_receiving", table_name="sessions")
