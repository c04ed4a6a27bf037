"""What the garbage collector looks up: who has an object, and which imports it has swept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("imports", sa.Column("swept_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("imports_unswept", "imports", ["finished_at"], postgresql_where=sa.text("swept_at is null"))
    op.create_index("files_by_key", "files", ["object_key"], postgresql_using="hash")


def downgrade() -> None:
    op.drop_index("files_by_key", table_name="files")
    op.drop_index("imports_unswept", table_name="imports")
    op.drop_column("imports", "swept_at")
