"""What an entry gains while it is received."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from libs.common.facts import Verdict
from libs.common.requests import Area, Naming
from services.archiver.cases import Aim, Case, Outcome, Place, Policy, Session, Status, StoredFile
from services.archiver.receiving import SUPERSEDED, Names, receive, sender_name
from tests.unit.services.archiver.situations import CT, Sent, after, new_files, series, session, waiting

SENDER = Names(Naming.SENDER)
TEMPLATE = Names(Naming.TEMPLATE)


def entry(*sent: Sent, **changes: object) -> Session:
    return waiting(*sent, **changes)


def case(there: Session, *sent: Sent, templated: Mapping[int, str] | None = None) -> Case:
    found = {one.series: series(one.series, sop_class=one.sop_class) for one in sent}
    files = tuple(replace(file, name=(templated or {}).get(file.ordinal)) for file in new_files(sent))
    return Case(there, Aim(Area.PREARCHIVE), Policy(Area.PREARCHIVE), tuple(found.values()), files)


def verdicts(there: Session, *sent: Sent, names: Names = SENDER) -> list[Verdict]:
    findings = receive(case(there, *sent), names).findings
    return [findings[ordinal].verdict for ordinal in range(len(sent))]


def names_of(
    there: Session, *sent: Sent, templated: Mapping[int, str] | None = None, names: Names = SENDER
) -> list[str]:
    return [planned.name for planned in receive(case(there, *sent, templated=templated), names).contents.files]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/1.dcm", "1.dcm"),
        ("a b^c?.dcm", "a_b_c_.dcm"),
        ("Größe.dcm", "Gr__e.dcm"),
        ("a/..", "_"),
        ("MR.1.2.3", "MR.1.2.3"),
    ],
)
def test_the_senders_name_keeps_what_is_safe_everywhere(path: str, name: str) -> None:
    assert sender_name(path) == name


def test_a_new_entry_takes_everything_and_stays_open() -> None:
    new = session(place=Place.PREARCHIVE)
    decision = receive(case(new, Sent("1.dcm", "u1", "a"), Sent("2.dcm", "u2", "b")), SENDER)
    assert (decision.outcome, decision.place, decision.status) == (
        Outcome.MERGED, Place.PREARCHIVE, Status.RECEIVING,
    )  # fmt: skip
    assert [(scan.scan_id, scan.xsi_type) for scan in decision.contents.scans] == [("1", "xnat:mrScanData")]
    assert decision.xsi_type == "xnat:mrSessionData"


def test_the_same_bytes_again_change_nothing() -> None:
    there = entry(Sent("1.dcm", "u1", "a"))
    decision = receive(case(there, Sent("other.dcm", "u1", "a")), SENDER)
    assert (decision.outcome, decision.contents.files) == (Outcome.UNCHANGED, ())
    assert decision.findings[0].verdict is Verdict.IDENTICAL


def test_other_bytes_of_an_instance_replace_it_under_either_name() -> None:
    there = entry(Sent("1.dcm", "u1", "a"))
    for name in ("1.dcm", "new.dcm"):
        (planned,) = receive(case(there, Sent(name, "u1", "other")), SENDER).contents.files
        assert (planned.name, planned.replaces) == (name, 10)


def test_one_instance_uid_of_two_classes_is_two_files() -> None:
    """A28: both are in the prearchive."""
    there = entry(Sent("1.dcm", "u1", "a"))
    assert verdicts(there, Sent("2.dcm", "u1", "b", sop_class=CT)) == [Verdict.STORED]


def test_another_instance_of_a_name_gets_the_templates_name() -> None:
    """A31: a file is never replaced by another instance."""
    there = entry(Sent("1.dcm", "u1", "a"))
    templated = {0: "study-1-1-hash.dcm"}
    assert names_of(there, Sent("1.dcm", "u2", "b"), templated=templated) == ["study-1-1-hash.dcm"]


def test_a_templates_name_that_is_taken_too_gets_a_mark_of_the_instance() -> None:
    there = entry(Sent("1.dcm", "u1", "a"), Sent("t.dcm", "u2", "b"))
    templated = {0: "t.dcm", 1: "t.dcm"}
    first, second = names_of(there, Sent("1.dcm", "u3", "c"), Sent("1.dcm", "u4", "d"), templated=templated)
    assert first != second
    assert all(name.startswith("t-") and name.endswith(".dcm") for name in (first, second))


def test_equal_names_in_one_upload_never_lose_an_instance() -> None:
    sent = (Sent("1.dcm", "u1", "a"), Sent("1.dcm", "u2", "b"), Sent("1.dcm", "u3", "c"))
    assert names_of(session(), *sent, templated={1: "t1.dcm", 2: "t2.dcm"}) == ["1.dcm", "t1.dcm", "t2.dcm"]


def test_renaming_gives_every_file_the_templates_name() -> None:
    """A23, and A25 in the prearchive: the instance is there once, under the new name."""
    there = entry(Sent("1.dcm", "u1", "a"))
    sent = (Sent("1.dcm", "u1", "b"), Sent("2.dcm", "u2", "c"))
    decision = receive(case(there, *sent, templated={0: "t1", 1: "t2"}), TEMPLATE)
    assert [(planned.name, planned.replaces) for planned in decision.contents.files] == [("t1", 10), ("t2", None)]


def test_a_template_that_gives_one_name_to_all_leaves_the_last_file() -> None:
    """A27: the price of that template."""
    there = entry(Sent("t.dcm", "u0", "a"))
    sent = (Sent("1.dcm", "u1", "b"), Sent("2.dcm", "u2", "c"))
    one_name = case(there, *sent, templated={0: "t.dcm", 1: "t.dcm"})
    decision = receive(one_name, Names(Naming.TEMPLATE, are_unique=False))
    (planned,) = decision.contents.files
    assert (planned.file.sop_instance_uid, planned.name, planned.replaces) == ("u2", "t.dcm", 10)
    assert [decision.findings[0], decision.findings[1].verdict] == [SUPERSEDED, Verdict.REPLACED]


def test_a_hash_that_two_instances_share_by_chance_loses_neither() -> None:
    sent = (Sent("1.dcm", "u1", "a"), Sent("2.dcm", "u2", "b"))
    names = names_of(session(), *sent, templated={0: "t.dcm", 1: "t.dcm"}, names=TEMPLATE)
    assert len(set(names)) == 2


def test_of_one_instance_sent_twice_with_other_bytes_the_later_counts() -> None:
    sent = (Sent("1.dcm", "u1", "a"), Sent("2.dcm", "u1", "b"), Sent("3.dcm", "u1", "b"))
    decision = receive(case(session(), *sent), SENDER)
    assert [planned.file.ordinal for planned in decision.contents.files] == [1]
    assert [decision.findings[n].verdict for n in range(3)] == [Verdict.SKIPPED, Verdict.STORED, Verdict.IDENTICAL]


def test_a_series_keeps_its_scan_and_one_of_the_same_number_gets_its_own() -> None:
    there = entry(Sent("1.dcm", "u1", "a"))
    decision = receive(case(there, Sent("2.dcm", "u2", "b"), Sent("3.dcm", "u3", "c", series="1.6")), SENDER)
    assert [planned.scan_id for planned in decision.contents.files] == ["1", "1-MR1"]


def test_secondary_files_have_names_of_their_own() -> None:
    """A29."""
    there = entry(Sent("1.dcm", "u1", "a"))
    assert names_of(there, Sent("1.dcm", "u1", "b", sop_class=CT, resource="secondary")) == ["1.dcm"]


def test_an_entry_that_received_in_any_portions_holds_the_same_files() -> None:
    sent = [Sent(f"{n}.dcm", f"u{n % 7}", f"{n}") for n in range(20)]
    whole = after(case(session(), *sent), receive(case(session(), *sent), SENDER))
    portioned = session()
    for one in sent:
        part = case(portioned, one)
        decision = receive(part, SENDER)
        portioned = _kept(after(part, replace(decision, joins=portioned)))
    assert _contents(portioned) == _contents(whole)


def _kept(there: Session) -> Session:
    return replace(there, subject_id=None)


def _contents(there: Session) -> list[tuple[str, str, str]]:
    def key(file: StoredFile) -> tuple[str, str, str]:
        return file.name, file.sop_instance_uid, file.sha256

    return sorted(key(file) for file in there.files)


def test_only_damaged_files_leave_the_entry_as_it_is() -> None:
    decision = receive(replace(case(entry(Sent("1.dcm", "u1", "a"))), files=()), SENDER)
    assert decision.outcome is Outcome.ERROR
    assert decision.contents.files == ()
