"""Sessions and scans of files that have no UIDs, and what an importer itself states of scans."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("study_key", sa.Text()))
    op.drop_index("sessions_of_import", table_name="sessions")
    op.create_index(
        "sessions_of_import",
        "sessions",
        ["opened_by", sa.text("coalesce(study_key, study_instance_uid)")],
        unique=True,
        postgresql_where=sa.text("opened_by is not null"),
    )
    op.add_column("scans", sa.Column("series_key", sa.Text()))
    op.add_column("import_series", sa.Column("stated", postgresql.JSONB()))


def downgrade() -> None:
    op.drop_column("import_series", "stated")
    op.drop_column("scans", "series_key")
    op.drop_index("sessions_of_import", table_name="sessions")
    op.drop_column("sessions", "study_key")
    op.create_index(
        "sessions_of_import",
        "sessions",
        ["opened_by", "study_instance_uid"],
        unique=True,
        postgresql_where=sa.text("opened_by is not null"),
    )
