"""Where studies land by what their headers and the site's rules say (acceptance A40 to A50; import semantics §4)."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.builders import series, uid, zip_bytes
from tests.e2e.conftest import Site, uris
from tests.e2e.watching import autorun_completes, sessions_of, until

MR = "xnat:mrSessionData"
ZIP, SI = "DICOM-zip", "SI"
UNUSABLE = "no such project, and: nothing; of use"
COMMENTS = "Project:{project} Subject:S Session:E"


def study(**elements: object) -> bytes:
    """Data set A: one MR study of one series, 6 files, with these elements in each."""
    seed = uuid.uuid4().hex
    own = {"StudyInstanceUID": uid(seed), "PatientName": "Sample_Patient", "PatientID": "Sample_ID"}
    files = series(6, seed, **{**own, "StudyDescription": "", **elements})
    return zip_bytes({f"A/{number}.dcm": body for number, body in enumerate(files, 1)})


@pytest_asyncio.fixture
async def built_at_once(site: Site) -> AsyncIterator[None]:
    """The idle interval is over with the next sweep."""
    name = "/xapi/siteConfig/sessionXmlRebuilderInterval"
    assert (await site.http.put(name, content="0")).status_code == 200
    yield
    await site.http.put(name, content="5")


@pytest_asyncio.fixture
async def rules(site: Site) -> AsyncIterator[None]:
    """No rule of the site stays."""
    yield
    for path in ("projectRules", "subjectRules", "sessionRules", "aaRules"):
        await site.http.put(f"/data/config/dicom/{path}", content="")


async def rule(site: Site, path: str, contents: str) -> None:
    answer = await site.http.put(f"/data/config/dicom/{path}", params={"inbody": "true"}, content=contents)
    assert answer.status_code in {200, 201}, answer.text


async def automatic(site: Site, project: str) -> None:
    assert (await site.http.put(f"/data/projects/{project}/prearchive_code/4")).status_code == 200


async def test_a40_without_rules_the_patient_names_subject_and_session(site: Site, project: str) -> None:
    """A40."""
    uris(await site.upload(study(), dest="/archive", project=project, triggerPipelines="false"))
    assert await sessions_of(site, project) == [("Sample_Patient", "Sample_ID", MR)]


@pytest.mark.parametrize("handler", [pytest.param(ZIP, id="A41"), pytest.param(SI, id="A43")])
@pytest.mark.parametrize("first", ["", "(0040,2017):(none)\n"], ids=["one-line", "two-lines"])
@pytest.mark.usefixtures("rules", "built_at_once")
async def test_a41_a43_a_site_rule_finds_the_project(site: Site, handler: str, first: str) -> None:
    """A41, A43: group 1 of the accession number, with every 6 in it replaced."""
    mark = uuid.uuid4().hex[:8].replace("6", "a")
    project = f"XP{mark}X"
    assert (await site.http.put(f"/data/projects/{project}")).status_code == 201
    await automatic(site, project)
    await rule(site, "projectRules", f"{first}(0008,0050):^[0-9]{{4}}(.*):1 t:6 r:X")
    body = study(AccessionNumber=f"20246P{mark}6", StudyDescription=UNUSABLE)
    uris(await site.upload(body, **{"import-handler": handler}))
    await until(lambda: sessions_of(site, project), [("Sample_Patient", "Sample_ID", MR)])
    await autorun_completes(site, project)


@pytest.mark.parametrize(
    ("contents", "label"),
    [
        ("(0008,0050):^[0-9]{4}(.*):1 t:6 r:X", "ACCX"),
        ("(0008,0050):^[0-9]{4}(.*)", "ACC6"),
        ("(0040,2017):(none)\n(0008,0050):^[0-9]{4}(.*):1", "ACC6"),
    ],
)
@pytest.mark.parametrize(
    ("handler", "path"),
    [
        pytest.param(ZIP, "sessionRules", id="A42"),
        pytest.param(SI, "subjectRules", id="A44"),
        pytest.param(SI, "sessionRules", id="A45"),
    ],
)
@pytest.mark.usefixtures("rules")
async def test_a42_a44_a45_a_site_rule_finds_a_label(
    site: Site, project: str, contents: str, label: str, handler: str, path: str
) -> None:
    """A42, A44, A45: what the rule extracts; the other label is the default."""
    await rule(site, path, contents)
    body = study(AccessionNumber="2024ACC6")
    (uri,) = uris(await site.upload(body, PROJECT_ID=project, **{"import-handler": handler}))
    expected = (label, "Sample_ID") if path == "subjectRules" else ("Sample_Patient", label)
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert (f"/data{row['url']}", row["subject"], row["name"]) == (uri, *expected)


HEADERS = [
    pytest.param(
        ZIP,
        {"PatientComments": UNUSABLE, "StudyComments": COMMENTS, "StudyDescription": UNUSABLE},
        id="A46",
    ),
    pytest.param(
        ZIP,
        {
            "PatientComments": UNUSABLE,
            "StudyComments": UNUSABLE,
            "AdditionalPatientHistory": UNUSABLE,
            "StudyDescription": "{project}",
            "PatientName": "S",
            "PatientID": "E",
        },
        id="A47",
    ),
    pytest.param(SI, {"PatientComments": COMMENTS}, id="A48"),
    pytest.param(
        ZIP,
        {
            "PatientComments": UNUSABLE,
            "StudyComments": UNUSABLE,
            "AdditionalPatientHistory": UNUSABLE,
            "StudyDescription": UNUSABLE,
            "AccessionNumber": "{project}",
            "PatientName": "S",
            "PatientID": "E",
        },
        id="A49",
    ),
    pytest.param(SI, {"AccessionNumber": "{project}", "PatientName": "S", "PatientID": "E"}, id="A50"),
]


@pytest.mark.parametrize(("handler", "elements"), HEADERS)
@pytest.mark.usefixtures("built_at_once")
async def test_a46_to_a50_the_header_says_where(
    site: Site, project: str, handler: str, elements: dict[str, str]
) -> None:
    """A46, A47, A48, A49, A50: archived in an auto-archive project without a further call."""
    await automatic(site, project)
    body = study(**{keyword: value.format(project=project) for keyword, value in elements.items()})
    uris(await site.upload(body, **{"import-handler": handler}))
    await until(lambda: sessions_of(site, project), [("S", "E", MR)])
    await autorun_completes(site, project)
