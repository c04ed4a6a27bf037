"""Every version of every message ever published still reads: golden files are never edited, only added."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from libs.common import messages
from libs.common.messages import Event, ImportEvent, ImportMessage, Message, SessionEvent

GOLDEN = Path(__file__).parents[3] / "golden" / "messages"
CONTRACTS = {c.TYPE: c for c in (*Message.__subclasses__(), *ImportMessage.__subclasses__()) if c is not ImportMessage}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_published_message_still_reads(path: Path) -> None:
    text = path.read_text()
    if path.stem.startswith("event."):
        assert Event.model_validate_json(text).specversion == "1.0"
    else:
        assert CONTRACTS[path.stem].model_validate_json(text).work_id


def test_every_contract_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} >= set(CONTRACTS)


def test_a_field_of_a_newer_version_is_ignored() -> None:
    message = messages.ImportStaged.model_validate({"import_id": UUID(int=1), "newer": 1})
    assert message == messages.ImportStaged(import_id=UUID(int=1))


def test_the_same_fact_has_the_same_id() -> None:
    one, other = (messages.MembersFound(import_id=UUID(int=1), batch_id=UUID(int=2)) for _ in range(2))
    assert one.message_id == other.message_id
    assert one.message_id != messages.MembersRouted(import_id=UUID(int=1), batch_id=UUID(int=2)).message_id


def test_an_event_routes_by_entity_verb_and_project() -> None:
    event = Event.of(
        "import.received",
        event_id=UUID(int=3),
        data=ImportEvent(import_id=UUID(int=1), size_bytes=5),
        source="/scandock/XNAT",
        subject="/imports/1",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        sequence="0" * 20,
        partitionkey="1",
        correlationid="1",
        project="P1",
    )
    assert event.routing_key == "import.received.v1.P1"
    assert Event.model_validate_json(event.model_dump_json()) == event


def test_event_data_has_no_room_for_labels() -> None:
    forbidden = {"label", "subject_label", "name", "path", "patient"}
    assert not forbidden & (set(SessionEvent.model_fields) | set(ImportEvent.model_fields))
