"""What the gateway alone reads from its environment; the servers are in `libs.common.settings`."""

from pydantic import Field, field_validator

from libs.common.importers import IMPORTERS
from libs.common.requests import Duplicates
from libs.common.settings import Settings as ServerSettings


class Settings(ServerSettings):
    """Where the gateway listens, and the site's limits."""

    host: str = Field(default="127.0.0.1", alias="SCANDOCK_HOST")
    port: int = Field(default=8080, alias="SCANDOCK_PORT")
    login_minutes: int = Field(default=60, ge=1, alias="SCANDOCK_LOGIN_MINUTES")
    """A login ends when it was not used for so long; an upload in progress uses it."""
    wait_seconds: float = Field(default=600, gt=0, alias="SCANDOCK_WAIT_SECONDS")
    """How long an import is waited for; below the time-out of any proxy in front."""
    max_upload_bytes: int = Field(default=0, ge=0, alias="SCANDOCK_MAX_UPLOAD_BYTES")
    """0: no limit."""
    max_bytes_in_flight: int = Field(default=1 << 30, gt=0, alias="SCANDOCK_MAX_BYTES_IN_FLIGHT")
    """Memory for upload parts on their way to the store, over all requests; beyond it 503."""
    import_handler: str = Field(default="SI", alias="SCANDOCK_IMPORT_HANDLER")
    """The importer where neither the parameters nor the body's type choose one."""
    silent_hours: int = Field(default=24, ge=1, alias="SCANDOCK_SILENT_HOURS")
    """An import that shows no progress for so long is marked as failed."""
    duplicates: Duplicates = Field(default=Duplicates.IDENTICAL, alias="SCANDOCK_DUPLICATES")
    """What `duplicates` means where a request does not say."""

    @field_validator("import_handler")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in IMPORTERS:
            raise ValueError(f"there is no importer {name}; there are {', '.join(IMPORTERS)}")
        return name
