"""Members that are not DICOM, where the sender wants no import without them (pure; import semantics §3.3, §3.4)."""

from collections.abc import Iterable, Mapping

from libs.common.errors import UserError
from libs.common.facts import Member
from libs.common.importers import IMPORTERS, Entries, Importer
from libs.common.requests import ImportRequest, Unparsable
from services.router.headers import DIRECTORY, Header, NotDicom

_NO_CLASS = NotDicom("no SOP Class UID")
_DIRECTORY_NAME = "dicomdir"


def complete(outcomes: Mapping[int, Header | NotDicom], importer: Importer) -> Mapping[int, Header | NotDicom]:
    """The outcomes as `importer` takes them: what goes to a shared entry needs a SOP Class UID too (§3.3)."""
    if importer.entries is not Entries.SHARED:
        return outcomes
    return {
        ordinal: outcome if isinstance(outcome, NotDicom) or outcome.instance.sop_class_uid else _NO_CLASS
        for ordinal, outcome in outcomes.items()
    }


def refusal(
    members: Iterable[Member], outcomes: Mapping[int, Header | NotDicom], request: ImportRequest
) -> UserError | None:
    """The refusal of a whole import because of its first member that is not DICOM; None where such are skipped.

    A DICOMDIR is always skipped. The text names the file, for its sender alone: it may be PHI.
    """
    if (request.unparsable or IMPORTERS[request.handler].unparsable) is Unparsable.SKIP:
        return None
    for member in members:
        outcome, name = outcomes[member.ordinal], member.path.rsplit("/", 1)[-1]
        if isinstance(outcome, NotDicom) and outcome != DIRECTORY and name.lower() != _DIRECTORY_NAME:
            return _refused(name, outcome)
    return None


def _refused(name: str, outcome: NotDicom) -> UserError:
    if outcome.reason.startswith("no "):
        return UserError("uid-missing", f"object {name} contains {outcome.reason}{_WAY_OUT}")
    return UserError("not-dicom", f"unable to read DICOM object {name}: {outcome.reason}{_WAY_OUT}")


_WAY_OUT = ". Nothing of the upload is imported; Ignore-Unparsable=true skips such files."
