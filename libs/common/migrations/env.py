"""Runs migrations, one process at a time (an advisory lock), over the URL that the caller gives."""

import sqlalchemy as sa
from alembic import context

from libs.common.schema import metadata

LOCK = 0x5CA0D0C

engine = sa.create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
engine.dispose()
