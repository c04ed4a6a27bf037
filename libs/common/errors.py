"""The whole taxonomy of failures: what a consumer or a route does next depends on the kind alone."""


class ScandockError(Exception):
    """A failure with a stable code (kebab case) and a detail for people; neither ever carries PHI."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Retryable(ScandockError):  # noqa: N818 - the taxonomy's own word
    """Later may be different: a server is away, a precondition is not there yet."""


class Poison(ScandockError):  # noqa: N818
    """This message can never succeed: it is undecodable or breaks its own contract."""


class UserError(ScandockError):
    """The sender can fix it: a conflict, a malformed destination, not DICOM."""
