"""Assessors of sessions, with resources of their own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "assessors",
        sa.Column("row", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("xsi_type", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("session_id", "label"),
    )
    op.add_column("resources", sa.Column("assessor", sa.BigInteger()))
    op.create_foreign_key(
        "resources_assessor_fkey", "resources", "assessors", ["assessor"], ["row"], ondelete="CASCADE"
    )
    op.drop_index("resources_by_label", table_name="resources")
    op.create_index(
        "resources_by_label",
        "resources",
        ["session_id", sa.text("coalesce(scan, -assessor, 0)"), "label"],
        unique=True,
    )
    op.create_index(
        "resources_by_assessor", "resources", ["assessor"], postgresql_where=sa.text("assessor is not null")
    )


def downgrade() -> None:
    op.execute("delete from files where resource in (select id from resources where assessor is not null)")
    op.execute("delete from resources where assessor is not null")
    op.drop_index("resources_by_assessor", table_name="resources")
    op.drop_index("resources_by_label", table_name="resources")
    op.create_index(
        "resources_by_label", "resources", ["session_id", sa.text("coalesce(scan, 0)"), "label"], unique=True
    )
    op.drop_column("resources", "assessor")
    op.drop_table("assessors")
