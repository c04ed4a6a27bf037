"""What the archiver alone reads from its environment; the servers are in `libs.common.settings`."""

from datetime import timedelta

from pydantic import Field

from libs.common.settings import Settings as ServerSettings
from services.archiver.garbage import Retention


class Settings(ServerSettings):
    """How long the garbage collector leaves what nobody needs any more, in days; when an entry is idle."""

    session_idle_seconds: float | None = Field(default=None, ge=0, alias="SCANDOCK_SESSION_IDLE_SECONDS")
    """How long nothing comes to a receiving entry before it is built; else the site's preference, in minutes."""
    upload_days: float = Field(default=7, ge=0, alias="SCANDOCK_UPLOAD_DAYS")
    """An upload, after its import has ended; until then a failed import can be looked into."""
    grace_days: float = Field(default=30, ge=0, alias="SCANDOCK_GRACE_DAYS")
    """A deleted session or replaced file, for so long it can be restored."""
    import_days: float = Field(default=365, ge=0, alias="SCANDOCK_IMPORT_DAYS")
    """An import's status and report, after it has ended."""

    @property
    def idle(self) -> timedelta | None:
        """The same as a span of time."""
        return None if self.session_idle_seconds is None else timedelta(seconds=self.session_idle_seconds)

    @property
    def retention(self) -> Retention:
        """The same as spans of time."""
        return Retention(*(timedelta(days=days) for days in (self.upload_days, self.grace_days, self.import_days)))
