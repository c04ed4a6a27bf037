"""How much one upload may unpack to (pure): against bombs, and for a site's disk."""

from pydantic import BaseModel, ConfigDict, Field

from libs.common.errors import UserError

_IN_PARTS = "send it in parts"


class Limits(BaseModel):
    """A site's limits for one upload. Single masks of zeros shrink 1000:1, so the ratio is that of the whole upload,
    and only counts beyond `ratio_floor_bytes`.
    """

    model_config = ConfigDict(frozen=True)

    size_bytes: int = Field(default=1 << 40, gt=0)
    members: int = Field(default=500_000, gt=0)
    ratio: int = Field(default=200, gt=0)
    ratio_floor_bytes: int = Field(default=256 << 20, ge=0)
    depth: int = Field(default=4, ge=0)
    """Archives inside archives: 0 allows none in the upload itself."""


class Budget:
    """What one upload has unpacked to so far, on every level of nesting together."""

    def __init__(self, limits: Limits, upload_bytes: int) -> None:
        self._limits = limits
        self._ratio_bytes = max(limits.ratio_floor_bytes, limits.ratio * upload_bytes)
        self._size_bytes = 0
        self._members = 0

    def spend(self, size_bytes: int, members: int = 0) -> None:
        """Count bytes and members that are about to be unpacked. Raises `UserError` where a limit is passed."""
        self._size_bytes += size_bytes
        self._members += members
        if self._members > self._limits.members:
            raise UserError("limit-count", f"the upload has more than {self._limits.members} members: {_IN_PARTS}")
        if self._size_bytes > self._limits.size_bytes:
            raise UserError(
                "limit-size", f"the upload unpacks to more than {self._limits.size_bytes} bytes: {_IN_PARTS}"
            )
        if self._size_bytes > self._ratio_bytes:
            detail = f"the upload unpacks to more than {self._limits.ratio} times its size: send it less compressed"
            raise UserError("limit-ratio", detail)

    def enter(self, depth: int) -> None:
        """Open an archive `depth` archives below the upload. Raises `UserError` where that is too deep."""
        if depth > self._limits.depth:
            detail = f"archives are nested more than {self._limits.depth} deep in the upload: unpack the inner ones"
            raise UserError("limit-depth", detail)
