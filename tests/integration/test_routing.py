"""Routing rules and series import filters over the real database: import semantics §3.3, §4.1, §4.3."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.common.database import finished_if_catalogued, open_engine, transaction, upgrade
from libs.common.errors import UserError
from libs.common.requests import Destination, ImportRequest, Naming
from libs.common.schema import configs, import_series, imports, memberships, projects, sessions, users
from libs.common.storage import memory_store
from tests import builders
from tests.integration.test_router import AT, TO_P, Uploads
from tests.servers import Servers, unique_name

ANYWHERE = ImportRequest()
MARK = 0x00191001


@pytest_asyncio.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[Uploads]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Uploads(engine, memory_store())
    await made.insert(users, login="ann", password_hash="-")
    for project in ("P", "Q", "ForbiddenP"):
        await made.insert(projects, id=project)
    for project in ("P", "Q"):
        await made.insert(memberships, project=project, login="ann", role="owner")
    yield made
    await engine.dispose()


@pytest_asyncio.fixture
async def uploads(database: Uploads) -> AsyncIterator[Uploads]:
    """Without any config at the beginning and the end."""
    yield database
    async with transaction(database.engine) as connection:
        await connection.execute(sa.delete(configs))


async def configure(
    uploads: Uploads, tool: str, path: str, contents: str, project: str | None = None, *, enabled: bool = True
) -> None:
    await uploads.insert(configs, project=project, tool=tool, path=path, version=1, contents=contents, enabled=enabled)


async def blacklist(uploads: Uploads, lines: str, project: str | None = None) -> None:
    contents = json.dumps({"mode": "blacklist", "list": lines, "enabled": "true"})
    await configure(uploads, "seriesImportFilter", "config", contents, project)


def dicom(**elements: object) -> dict[str, bytes]:
    return {"1.dcm": builders.dicom_bytes(**elements)}


def marked(number: int) -> bytes:
    ds = builders.dataset(SOPInstanceUID=builders.uid("marked", number))
    ds.add_new(MARK, "LO", "no")
    return builders.dicom_bytes(ds)


async def test_a_site_rule_finds_the_project(uploads: Uploads) -> None:
    """A41."""
    await configure(uploads, "dicom", "projectRules", "(0008,0050):^[0-9]{4}(.*):1 t:6 r:Q")
    entry = await uploads.entry(await uploads.routed(dicom(AccessionNumber="20246"), ANYWHERE))
    assert (entry["project"], entry["subject_label"], entry["label"]) == ("Q", "DOE_JOHN", "PAT01")


async def test_a_rules_project_must_be_one_where_the_sender_may_import(uploads: Uploads) -> None:
    await configure(uploads, "dicom", "projectRules", "(0008,0050):(.*)")
    forbidden = dicom(AccessionNumber="ForbiddenP", StudyDescription="P")
    assert (await uploads.entry(await uploads.routed(forbidden, ANYWHERE)))["project"] == "P"


async def test_a_rule_that_is_disabled_does_not_count(uploads: Uploads) -> None:
    await configure(uploads, "dicom", "sessionRules", "(0008,0050):(.*)", enabled=False)
    entry = await uploads.entry(await uploads.routed(dicom(AccessionNumber="ACC"), TO_P))
    assert entry["label"] == "PAT01"


async def test_a_rule_may_look_at_any_element_before_the_pixels(uploads: Uploads) -> None:
    await configure(uploads, "dicom", "subjectRules", "(0040,0009):(S.*)")
    await configure(uploads, "dicom", "sessionRules", "(0019,1001):(.*)")
    ds = builders.dataset(ScheduledProcedureStepID="S7")
    ds.add_new(MARK, "LO", "E7")
    import_id = await uploads.routed({"1.dcm": builders.dicom_bytes(ds)}, TO_P)
    entry = await uploads.entry(import_id)
    assert (entry["subject_label"], entry["label"]) == ("S7", "E7")
    (series,) = await uploads.rows(import_series, import_series.c.import_id == import_id)
    assert "(0019,1001)" not in str(series["attributes"])


async def test_the_rules_of_the_project_that_is_found_count(uploads: Uploads) -> None:
    await configure(uploads, "dicom", "sessionRules", "(0008,0050):(.*)", "Q")
    labels = {}
    for project in ("P", "Q"):
        files = dicom(AccessionNumber="ACC", StudyDescription=project)
        labels[project] = (await uploads.entry(await uploads.routed(files, ANYWHERE)))["label"]
    assert labels == {"P": "PAT01", "Q": "ACC"}


async def test_a_rule_that_takes_too_long_ends_the_import_with_its_name(uploads: Uploads) -> None:
    await configure(uploads, "dicom", "sessionRules", "(0008,0050):(((a|b|ab)*)+(?<=x))")
    message = await uploads.found(await uploads.received(TO_P), dicom(AccessionNumber="abababababababab" * 4))
    with pytest.raises(UserError, match="sessionRules"):
        await uploads.route(message)
    assert not await uploads.rows(sessions, sessions.c.opened_by == message.import_id)


async def test_what_a_filter_matches_is_left_out_with_its_reason(uploads: Uploads) -> None:
    """A64: of a series one instance, of another all."""
    await blacklist(uploads, "[(0019,1001)]\n.*")
    files = {f"5/{n}": body for n, body in enumerate(builders.series(2, 5))} | {"5/x": marked(1)}
    import_id = await uploads.routed(files | {"6/1": marked(2), "6/2": marked(3)}, TO_P)
    members = await uploads.members(import_id)
    assert [row["verdict"] for row in members] == [None, None, "skipped", "skipped", "skipped"]
    reason = "filtered: the site's series import filter: line 2 of the blacklist matches its (0019,1001)"
    assert {row["reason"] for row in members} == {"", reason}
    rows = await uploads.rows(import_series, import_series.c.import_id == import_id)
    assert [row["series_instance_uid"] for row in rows] == [builders.uid("series", 5)]


async def test_the_filter_of_the_project_that_is_found_counts(uploads: Uploads) -> None:
    await blacklist(uploads, "scout.*", "Q")
    verdicts = {}
    for project in ("P", "Q"):
        import_id = await uploads.routed(dicom(SeriesDescription="Scout 1", StudyDescription=project), ANYWHERE)
        verdicts[project] = (await uploads.members(import_id))[0]["verdict"]
    assert verdicts == {"P": None, "Q": "skipped"}


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_an_upload_of_which_all_is_filtered_is_no_error(uploads: Uploads, handler: str) -> None:
    await blacklist(uploads, ".*scout.*")
    request = ImportRequest(handler=handler, destination=Destination(project="P"))
    import_id = await uploads.routed(dicom(SeriesDescription="a scout"), request)
    assert not await uploads.entries(import_id)
    async with transaction(uploads.engine) as connection:
        await connection.execute(sa.update(imports).where(imports.c.id == import_id).values(merged_at=AT))
        await finished_if_catalogued(connection, import_id)
    (row,) = await uploads.rows(imports, imports.c.id == import_id)
    assert (row["outcome"], row["code"]) == ("completed", "")


async def test_a_file_name_template_may_name_any_element(uploads: Uploads) -> None:
    template = "${AcquisitionNumber}_${NoSuchKeyword}_${InstanceNumber}"
    await configure(uploads, "siteConfig", "dicomFileNameTemplate", template)
    request = ImportRequest(handler="DICOM-zip", naming=Naming.TEMPLATE, destination=Destination(project="P"))
    import_id = await uploads.routed(dicom(AcquisitionNumber=9, StudyInstanceUID="1.2.9"), request)
    (member,) = await uploads.members(import_id)
    assert member["file_name"] == "9_no-value-for-NoSuchKeyword_1.dcm"
