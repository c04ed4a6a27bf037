"""Session and scan types of what is imported (acceptance A32 to A39; import semantics §4.4, §4.5)."""

import uuid

import pytest

from tests.builders import dicom_bytes, uid, zip_bytes
from tests.e2e.conftest import Site, uris
from tests.e2e.watching import sessions_of

STORAGE = "1.2.840.10008.5.1.4.1.1."
CT, MR, ENHANCED_MR, PET, RAW = (STORAGE + end for end in ("2", "4", "4.1", "128", "66"))
SECONDARY_CAPTURE, STRUCTURE_SET = STORAGE + "7", STORAGE + "481.3"
XA, XA_3D = STORAGE + "12.1", STORAGE + "13.1.1"


def study(*series: list[tuple[str, str]], descriptions: tuple[str, ...] = ()) -> bytes:
    """A zip of one study: a series for each list of (SOP class, modality), a file for each of those."""
    seed, files = uuid.uuid4().hex, {}
    for number, instances in enumerate(series, start=1):
        for instance, (sop_class, modality) in enumerate(instances, start=1):
            files[f"{number}/{instance}.dcm"] = dicom_bytes(
                SOPClassUID=sop_class,
                Modality=modality,
                StudyInstanceUID=uid(seed),
                SeriesInstanceUID=uid(seed, number),
                SOPInstanceUID=uid(seed, number, instance),
                SeriesNumber=number,
                InstanceNumber=instance,
                SeriesDescription=descriptions[number - 1] if descriptions else "series",
            )
    return zip_bytes(files)


async def types(site: Site, project: str) -> tuple[list[str], list[str]]:
    """The types of the project's sessions, and of their scans."""
    rows = await site.rows(f"/data/projects/{project}/experiments")
    scans = [row["xsiType"] for one in rows for row in await site.rows(f"/data/experiments/{one['ID']}/scans")]
    return [row["xsiType"] for row in rows], scans


CASES = [
    pytest.param([[(SECONDARY_CAPTURE, "CT")]], "ctSessionData", ["scScanData"], id="A32"),
    pytest.param(
        [[(STRUCTURE_SET, "RTSTRUCT")], [(ENHANCED_MR, "MR")]],
        "mrSessionData",
        ["rtImageScanData", "mrScanData"],
        id="A33",
    ),
    pytest.param([[(RAW, "MR"), (MR, "MR")]], "mrSessionData", ["mrScanData"], id="A34"),
    pytest.param([[(XA, "XA")]], "xaSessionData", ["xaScanData"], id="A35"),
    pytest.param([[(XA_3D, "XA")]], "xaSessionData", ["xaScanData"], id="A36"),
    pytest.param([[(MR, "")]], "mrSessionData", ["mrScanData"], id="A37"),
]


@pytest.mark.parametrize(("series", "session_type", "scan_types"), CASES)
@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_a32_to_a37_types_follow_the_sop_classes(
    site: Site,
    project: str,
    series: list[list[tuple[str, str]]],
    session_type: str,
    scan_types: list[str],
    handler: str,
) -> None:
    """A32, A33, A34, A35, A36, A37; the other way in gives the same."""
    parameters = {"import-handler": handler, "dest": f"/archive/projects/{project}", "triggerPipelines": "false"}
    uris(await site.upload(study(*series), **parameters))
    assert await types(site, project) == ([f"xnat:{session_type}"], [f"xnat:{name}" for name in scan_types])


@pytest.mark.parametrize(
    ("policy", "session_type"),
    [
        pytest.param("petmr", "petmrSessionData", id="A38"),
        pytest.param("pet", "petSessionData", id="A39"),
    ],
)
@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_a38_a39_a_project_says_what_pet_and_mr_are(
    site: Site, project: str, policy: str, session_type: str, handler: str
) -> None:
    """A38, A39; the other way in gives the same."""
    answer = await site.http.put(f"/data/projects/{project}/config/separatePETMR/config", content=policy)
    assert answer.status_code == 201, answer.text
    body = study([(PET, "PT")], [(MR, "MR")])
    parameters = {"import-handler": handler, "dest": f"/archive/projects/{project}", "triggerPipelines": "false"}
    uris(await site.upload(body, **parameters))
    assert await types(site, project) == ([f"xnat:{session_type}"], ["xnat:petScanData", "xnat:mrScanData"])


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_pet_with_attenuation_maps_alone_is_not_separated(site: Site, project: str, handler: str) -> None:
    """Import semantics §4.4, step 1."""
    await site.http.put(f"/data/projects/{project}/config/separatePETMR/config", content="separate")
    body = study([(PET, "PT")], [(MR, "MR")], descriptions=("AC Images", "Head_MRAC_PET"))
    parameters = {"import-handler": handler, "dest": f"/archive/projects/{project}", "triggerPipelines": "false"}
    uris(await site.upload(body, **parameters))
    ((_, _, session_type),) = await sessions_of(site, project)
    assert session_type == "xnat:petSessionData"
