"""Which refresh has found a file that was put into the bucket by hand."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("command_id", postgresql.UUID(as_uuid=True)))


def downgrade() -> None:
    op.drop_column("files", "command_id")
