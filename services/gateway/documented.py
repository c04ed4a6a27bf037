"""Every parameter of the import service, for its OpenAPI page (pure; import semantics §1.2 and XNAT's service page)."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.importers import IMPORTERS
from services.gateway.sender_paths import SHORTCUTS
from services.gateway.values import SRC


@dataclass(frozen=True, slots=True)
class Described:
    """What one parameter means; `words` are all it may be, where they are few."""

    text: str
    example: str
    words: tuple[str, ...] = ()

    def schema(self) -> dict[str, object]:
        """Its JSON schema."""
        return {"type": "string"} | ({"enum": list(self.words)} if self.words else {})


def _same(name: str, example: str, more: str = "") -> Described:
    return Described(f"As `{name}`. {more}".strip(), example)


_UNUSED = Described("Read by XNAT; accepted, and nothing follows from it.", "")
_HANDLERS = "; ".join(f"`{name}`: {importer.description}" for name, importer in IMPORTERS.items())

PARAMETERS: Mapping[str, Described] = {
    "import-handler": Described(
        f"The importer. {_HANDLERS}. Without it the site's default; gradual-DICOM for a body of the type "
        "`application/dicom` or `application/x-mirc`.",
        "SI",
    ),
    "dest": Described(
        "Where the sessions go: `/archive` or `/prearchive`, then `/projects/{P}`, `/subjects/{S}`, "
        "`/experiments/{E}`, or for the prearchive `/projects/{P}/{timestamp}/{folder}`; `/data` may stand before it.",
        "/archive/projects/P/subjects/S1/experiments/E1",
    ),
    "src": Described(
        "A file in your cache, `/user/cache/resources/{X}/files/{path}`; may be given several times, or with commas. "
        "It leaves the cache when the import is completed.",
        "/user/cache/resources/up1/files/study.zip",
    ),
    "inbody": Described("Query only: the body is the file, whatever its Content-Type says.", "true"),
    "PROJECT_ID": Described("ID or alias of the project, where `dest` does not name one.", "P"),
    "project": _same("PROJECT_ID", "P", "SI: comes behind it; DICOM-zip: beats it and `dest`; gradual-DICOM: unread."),
    "SUBJECT_ID": Described("Label or ID of the subject, where `dest` does not name one.", "S1"),
    "subject": _same("SUBJECT_ID", "S1", "SI: comes first; DICOM-zip: beats it and `dest`; gradual-DICOM: unread."),
    "subject_ID": _same("SUBJECT_ID", "S1", "Comes behind it."),
    "EXPT_LABEL": Described("Label of the session, where `dest` does not name one.", "E1"),
    "session": _same("EXPT_LABEL", "E1", "SI: comes first; DICOM-zip: beats it and `dest`; gradual-DICOM: unread."),
    "EXPT_ID": Described("SI: ID or label of an archived session to join; the label of a new one without it.", "E1"),
    "label": _same("EXPT_LABEL", "E1", "Comes last."),
    "PREARC_TIMESTAMP": Described("Timestamp of a prearchive entry.", "20260131_101530123"),
    "PREARC_SESSION_FOLDER": Described("Folder of a prearchive entry; needs timestamp and project.", "PAT01"),
    "overwrite": Described(
        "`none` (also when absent): never merge into an archived session; `append`: add what is new; `delete` or "
        "`override`: also replace what differs.",
        "append",
        ("none", "append", "delete", "override"),
    ),
    "overwrite_files": Described("`true`: replace matching files without the rest of `overwrite=delete`.", "true"),
    "duplicates": Described(
        "What a file means that the session has already: `identical` (same bytes: nothing to do; other bytes: a "
        "conflict), `conflict` (any is a conflict), `keep` (what is there stays). Without it as the site has it.",
        "identical",
        ("identical", "conflict", "keep"),
    ),
    "strict": Described("`true`: all sessions of the upload land, or none.", "true"),
    "action": Described(
        "`commit`: build within the import; implies `Ignore-Unparsable` unless that is given.", "commit"
    ),
    "Ignore-Unparsable": Described("`true`: skip members that are not DICOM; `false`: refuse them.", "true"),
    "rename": Described("`true`: files are named by the site's template; gradual-DICOM and DICOM-zip.", "true"),
    "AA": Described("`true`: archive after building; `false`: do not.", "true"),
    "auto-archive": _same("AA", "true", "Comes behind it."),
    "Direct-Archive": Described("`true`: straight to the archive, not listed in the prearchive.", "true"),
    "prearchive_code": Described(
        "`1`: the user chose the archive: `overwrite` is `append` unless it is given, as `append` or `delete`.", "1"
    ),
    "quarantine": Described("`true`: the session is put in quarantine; without it as the project has it.", "true"),
    "triggerPipelines": Described("`false`, `no`, `off`, `n`, `f` or `0`: no AutoRun.", "false"),
    "tiggerPipelines": _same("triggerPipelines", "false", "So xnatpy spells it."),
    "prevent_anon": Described("`true`: no site anonymization; this site has none.", "true"),
    "prevent_auto_commit": Described("`true`: leave the prearchive entry to its sender.", "true"),
    "VISIT": Described("Visit of the session.", "baseline"),
    "visit": _same("VISIT", "baseline"),
    "visit_id": _same("VISIT", "baseline"),
    "PROTOCOL": Described("Protocol of the session.", "p1"),
    "protocol": _same("PROTOCOL", "p1"),
    "TIMEZONE": Described("Time zone of the scanner's dates; kept, nothing is converted.", "Europe/Berlin"),
    "SOURCE": Described("What kind of client sends; `uploader` keeps the entry for its own commit.", "script"),
    "http-session-listener": Described(
        "A name for the import's progress, read at `/data/status/{name}`. With `src` the answer comes at once.", "up1"
    ),
    "transaction": Described("A name of the sender's for the call; not kept.", "t1"),
    "format": Described("Of the answer: `txt`, `html`, else `text/uri-list`.", "txt"),
    "event_reason": Described("Kept with the import for audit.", "standard upload"),
    "event_type": _same("event_reason", "WEB_FORM"),
    "event_comment": _same("event_reason", "first visit"),
    "event_action": _same("event_reason", "upload"),
    "prearc-importer": Described("SI: `DICOM` or `ECAT`, both of which it takes anyway.", "DICOM"),
    "UID": Described("Unread: a session's UID is its study's.", "1.2.3"),
    "xnat:petSessionData/scans/scan/ID": Described("SI: the number of the first ECAT scan.", "1"),
    "xnat:mrSessionData/note": Described(
        "Stands for any XML path: its value is set on the session, as `xnat:experimentData/date`.", "a note"
    ),
    **{name: Described(f"Short for `{path}`.", "") for name, path in SHORTCUTS.items()},
    **dict.fromkeys(
        (
            *("Custom-Processing", "Sender-AE-Title", "Receiver-AE-Title", "Receiver-Port", "Sender-ID"),
            *("Transfer-Syntax-UID", "allowDataDeletion", "activityId", "delay", "listener", "timezone", "redirect"),
            *("XNAT_CSRF",),
        ),
        _UNUSED,
    ),
}


def _query_parameters() -> list[Mapping[str, object]]:
    """The parameters as an OpenAPI operation has them."""
    documented: list[Mapping[str, object]] = []
    for name, described in PARAMETERS.items():
        entry = {"name": name, "in": "query", "description": described.text, "schema": described.schema()}
        if described is not _UNUSED:
            documented.append(entry | ({"example": described.example} if described.example else {}))
    return documented


IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_KEY_LENGTH = 255

_BYTES = {"schema": {"type": "string", "format": "binary"}}
OPERATION: dict[str, object] = {
    "parameters": [
        *_query_parameters(),
        {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "schema": {"type": "string", "maxLength": IDEMPOTENCY_KEY_LENGTH},
            "description": "Requests of one key are one import, however often they are sent",
            "example": "7f2c",
        },
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "description": "`respond-async`: 202 at once, with the place of the import's status",
            "example": "respond-async",
        },
    ],
    "requestBody": {
        "description": "The file; or a form of files and parameters; or parameters alone, with `src`",
        "content": dict.fromkeys(
            (
                "application/zip",
                "application/x-tar",
                "application/gzip",
                "application/dicom",
                "application/octet-stream",
            ),
            _BYTES,
        )
        | {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "properties": {SRC: {"type": "string"}}}
            },
        },
    },
    "responses": {
        "200": {
            "description": "One URI a session, each ended by CRLF",
            "content": {"text/uri-list": {"schema": {"type": "string"}, "example": "/data/archive/projects/P\r\n"}},
        },
        "202": {"description": "Accepted, for who prefers not to wait"},
    }
    | {
        str(status): {"description": text, "content": {"text/plain": {}, "application/problem+json": {}}}
        for status, text in (
            (400, "A parameter or the upload is wrong: the text says which and what to do"),
            (401, "Log in"),
            (403, "Not permitted"),
            (404, "No such project, handler or cached file"),
            (409, "It clashes with what is archived; it waits in the prearchive"),
            (413, "Larger than a limit"),
            (422, "The Idempotency-Key was used with other parameters"),
            (503, "Try again later, as Retry-After says"),
            (507, "The store is full"),
        )
    },
}
"""`POST /data/services/import`, as OpenAPI has it."""
