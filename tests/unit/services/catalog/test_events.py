"""What the world is told, and that it is told the same again."""

from dataclasses import replace
from uuid import UUID

import pytest

from libs.common.messages import SessionEvent, derive
from services.catalog.events import REFRESHED, Change, EndedImport, import_event, session_events
from tests.unit.services.catalog.examples import AT, PREFIX

IMPORT = UUID(int=1)
CHANGE = Change(
    session_id="XNAT_E00001",
    revision=12,
    import_id=IMPORT,
    command_id=None,
    verb="archived",
    event_id=UUID(int=2),
    pipelines=True,
    resources=(1,),
    event=SessionEvent(
        session_id="XNAT_E00001",
        import_id=IMPORT,
        revision=12,
        xsi_type="xnat:mrSessionData",
        scans=["4"],
        files_added=2,
        files_replaced=0,
        file_count=2,
        size_bytes=2000,
        bucket="scandock",
        prefixes=[PREFIX],
    ),
    project="P",
    changed_at=AT,
    is_catalogued=True,
)
ENDED = EndedImport(
    import_id=IMPORT,
    outcome="completed",
    code="",
    size_bytes=2000,
    finished_at=AT,
    projects=("P",),
    sessions=("XNAT_E00001",),
    verdicts={"stored": 2},
)


def test_an_archived_session_is_told_of_with_its_wish_for_pipelines() -> None:
    archived, wanted = session_events(CHANGE, "XNAT")
    assert archived.id == CHANGE.event_id
    assert archived.type == "org.scandock.session.archived.v1"
    assert archived.routing_key == "session.archived.v1.P"
    assert archived.source == "/scandock/XNAT"
    assert archived.subject == "/archive/experiments/XNAT_E00001"
    assert archived.time == AT
    assert archived.sequence == "00000000000000000012"
    assert archived.partitionkey == "XNAT_E00001"
    assert archived.correlationid == str(IMPORT)
    assert archived.data == CHANGE.event
    assert wanted.type == "org.scandock.pipeline.requested.v1"
    assert wanted.id == derive(CHANGE.event_id, "pipeline")
    assert wanted.model_copy(update={"id": archived.id, "type": archived.type}) == archived


@pytest.mark.parametrize("verb", ["received", "conflict"])
def test_a_session_in_the_prearchive_wants_no_pipelines(verb: str) -> None:
    (told,) = session_events(replace(CHANGE, verb=verb, project=""), "XNAT")
    assert told.type == f"org.scandock.session.{verb}.v1"
    assert told.subject == "/prearchive/XNAT_E00001"
    assert told.project == "Unassigned"


def test_pipelines_are_not_asked_for_unless_wanted() -> None:
    assert len(session_events(replace(CHANGE, verb="updated", pipelines=False), "XNAT")) == 1


def test_a_repeat_is_word_for_word_the_same() -> None:
    assert session_events(CHANGE, "XNAT") == session_events(CHANGE, "XNAT")
    assert import_event(ENDED, "XNAT") == import_event(ENDED, "XNAT")


def test_an_import_tells_its_outcome() -> None:
    told = import_event(ENDED, "XNAT")
    assert told.id == derive("import", IMPORT, "completed")
    assert told.routing_key == "import.completed.v1.P"
    assert (told.subject, told.sequence) == (f"/imports/{IMPORT}", "00000000000000000001")
    assert told.data.model_dump() == {
        "import_id": IMPORT,
        "size_bytes": 2000,
        "sessions": ["XNAT_E00001"],
        "verdicts": {"stored": 2},
        "code": "",
    }


@pytest.mark.parametrize("projects", [(), ("P", "Q")])
def test_an_import_of_no_single_project_is_unassigned(projects: tuple[str, ...]) -> None:
    assert import_event(replace(ENDED, projects=projects), "XNAT").project == "Unassigned"


def test_a_refresh_is_told_of_beside_its_change() -> None:
    command, told = UUID(int=9), CHANGE.event.model_copy(update={"reason": REFRESHED, "place": "archive"})
    change = replace(CHANGE, verb="updated", pipelines=False, import_id=None, command_id=command, event=told)
    updated, refreshed = session_events(change, "XNAT")
    assert (updated.type, refreshed.type) == ("org.scandock.session.updated.v1", "org.scandock.catalog.refreshed.v1")
    assert (refreshed.correlationid, refreshed.sequence) == (str(command), updated.sequence)
    assert refreshed.id == derive(change.event_id, "catalog")
