"""A prearchive entry that is stored already, as the case of a merge into the archive (import semantics §7.2)."""

from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.commands import Archive
from libs.common.requests import Area, Destination, ImportRequest, Overwrite
from libs.common.schema import project_aliases
from libs.common.stated import SESSION_KEY, StatedScan, assessor_key
from services.archiver.aims import AUTO_ARCHIVE_OVERWRITE, PROJECT_DIFFERS, aim_of, policy_of
from services.archiver.builds import series_of
from services.archiver.cases import Aim, Case, Codes, NewFile, Series, Session
from services.archiver.rows import find_subject, load_codes, lock_target, with_contents

_ADDRESS = frozenset({"label", "subject_ID", "subject_id", "project"})
"""XML paths that say where the session goes, and are not its fields (§7.2 steps 3 and 5)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An `Archive` command read: where its labels come from does not matter any more."""

    archive: Archive
    is_automatic: bool = False
    """Nobody has said how: the entry's or the project's auto-archive has (§7.1)."""

    def address(self, name: str) -> str | None:
        """What an XML path such as `xnat:mrSessionData/label` says."""
        paths = self.archive.xml_paths
        found = (paths[path] for path in sorted(paths) if path.partition("/")[2].lower() == name.lower())
        return next((value for value in found if value.strip()), None)

    @property
    def fields(self) -> dict[str, str]:
        """The XML paths that are fields of the session."""
        return {path: v for path, v in self.archive.xml_paths.items() if path.partition("/")[2] not in _ADDRESS}

    def request(self, project: str | None, codes: Codes) -> ImportRequest:
        """The import that would want the same. An automatic one may merge, and code 5 lets it replace (§7.7)."""
        archive = self.archive
        overwrite = archive.overwrite
        if self.is_automatic and overwrite is Overwrite.NONE:
            overwrite = Overwrite.DELETE if codes.prearchive == AUTO_ARCHIVE_OVERWRITE else Overwrite.APPEND
        destination = Destination(
            area=Area.ARCHIVE,
            project=project,
            subject=archive.subject or self.address("subject_ID"),
            session=archive.session or self.address("label"),
        )
        return ImportRequest(
            destination=destination,
            overwrite=overwrite,
            overwrite_files=archive.overwrite_files,
            duplicates=archive.duplicates,
            quarantine=archive.quarantine,
        )


async def load_stored_case(connection: AsyncConnection, entry: Session, wanted: Wanted) -> Case:
    """The case of an entry that is locked; locks what it joins. Its scans keep the IDs that they have (§7.3)."""
    codes = await load_codes(connection, entry.project)
    request = wanted.request(entry.project, codes)
    aim = await _aim(connection, entry, request, wanted.address("project"), codes)
    entry = await with_contents(connection, entry, ())
    files = await _load_files(connection, entry.id)
    series = [series_of(scan, keeps_id=True) for scan in entry.scans]
    if any(file.series_instance_uid == SESSION_KEY for file in files):
        series.append(Series(SESSION_KEY, frozenset(), frozenset(), {}, StatedScan(is_session=True)))
    series += [
        Series(one.key, frozenset(), frozenset(), {}, StatedScan(assessor=one.stated)) for one in entry.assessors
    ]
    target = await lock_target(connection, entry, aim)
    if target is not None:
        target = await with_contents(connection, target, {one.series_instance_uid for one in series})
    policy = policy_of(request, aim.area, codes)
    subject = await find_subject(connection, entry.project, aim.subject)
    return Case(entry, aim, policy, tuple(series), tuple(files), target, subject)


async def _aim(
    connection: AsyncConnection, entry: Session, request: ImportRequest, project: str | None, codes: Codes
) -> Aim:
    aim = aim_of(entry, request, codes)
    if project is None or project == entry.project:
        return aim
    aliases = sa.select(project_aliases.c.project).where(project_aliases.c.alias == project)
    is_alias = await connection.scalar(aliases) == entry.project
    return aim if is_alias else replace(aim, problem=PROJECT_DIFFERS)


async def _load_files(connection: AsyncConnection, session_id: str) -> list[NewFile]:
    """The entry's files; `ordinal` is the row, the names stay."""
    query = sa.text(
        "select f.id, f.name, coalesce(c.series_key, c.series_instance_uid, :assessor || a.label, :own), r.label,"
        " f.sop_instance_uid,"
        " f.sop_class_uid, f.instance_number, f.number_of_frames, f.object_key, f.size_bytes, f.md5, f.sha256, f.name"
        " from files f join resources r on r.id = f.resource left join scans c on c.id = r.scan"
        " left join assessors a on a.row = r.assessor"
        " where f.session_id = :session order by f.id"
    )
    rows = await connection.execute(query, {"session": session_id, "own": SESSION_KEY, "assessor": assessor_key("")})
    return [NewFile(*row) for row in rows]
