"""What the tables have in common: one metadata, and the types of ids and moments."""

from sqlalchemy import Column, DateTime, MetaData, func
from sqlalchemy.dialects import postgresql

metadata = MetaData()
Id = postgresql.UUID(as_uuid=True)
Time = DateTime(timezone=True)


def now(name: str) -> Column[object]:
    """A moment that is that of the insert where it is not given."""
    return Column(name, Time, nullable=False, server_default=func.now())
