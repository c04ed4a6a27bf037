"""What holds for any upload and any session: nothing lost, nothing twice, the same again changes nothing."""

from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from libs.common.facts import Verdict
from libs.common.requests import Area, Duplicates, Overwrite
from services.archiver.cases import Case, Decision, Outcome, Place, Session
from services.archiver.merge import decide
from tests.unit.services.archiver.situations import CT, MR, Sent, after, archive_case, prearchive_case

GAINED = {Verdict.STORED, Verdict.REPLACED}


def _sent(content: int, name: str) -> Sent:
    """Equal bytes say the same of themselves: all but the name derives from the contents."""
    return Sent(
        name,
        uid=f"u{content // 2 % 4}",
        body=f"bytes {content}",
        series=f"1.{content % 2}",
        sop_class=MR if content % 5 else CT,
        resource="secondary" if content % 7 == 3 else "DICOM",
    )


uploads = st.lists(
    st.builds(_sent, st.integers(0, 23), st.sampled_from(["a", "b", "c", "a_1"])), min_size=1, max_size=8
)
overwrites = st.sampled_from(list(Overwrite))
duplicates = st.sampled_from(list(Duplicates))


def first_session(upload: list[Sent], area: Area) -> Session | None:
    """What an upload is on its own; None if it cannot be archived."""
    case = archive_case(*upload, overwrite=Overwrite.DELETE) if area is Area.ARCHIVE else prearchive_case(*upload)
    decision = decide(case)
    assert decision.outcome is Outcome.MERGED
    return replace(after(case, decision), id="E1", prefix="sessions/P/E1/")


def second_case(upload: list[Sent], target: Session | None, area: Area, overwrite: Overwrite, what: Duplicates) -> Case:
    if area is Area.PREARCHIVE:
        return prearchive_case(*upload, target=target, overwrite=overwrite)
    return archive_case(*upload, target=target, overwrite=overwrite, duplicates=what)


def check_names(session: Session) -> None:
    names = Counter((file.scan, file.resource_label, file.name) for file in session.files)
    assert not names or max(names.values()) == 1
    ids = Counter(scan.scan_id for scan in session.scans)
    assert max(ids.values()) == 1


def check_findings(case: Case, decision: Decision) -> None:
    assert decision.findings.keys() == {file.ordinal for file in case.files}
    planned = Counter(one.file.ordinal for one in decision.contents.files)
    assert all(count == 1 for count in planned.values())
    if decision.problem is None:
        gained = {ordinal for ordinal, finding in decision.findings.items() if finding.verdict in GAINED}
        assert planned.keys() == gained
    else:
        assert {finding.verdict for finding in decision.findings.values()} <= {
            Verdict.WAITING,
            Verdict.CONFLICT,
            Verdict.IDENTICAL,
        }


@given(uploads, uploads, st.sampled_from(list(Area)), overwrites, duplicates)
def test_nothing_is_lost_and_no_name_is_given_twice(
    there: list[Sent], upload: list[Sent], area: Area, overwrite: Overwrite, what: Duplicates
) -> None:
    target = first_session(there, area)
    case = second_case(upload, target, area, overwrite, what)
    decision = decide(case)
    check_findings(case, decision)
    result = after(case, decision)
    check_names(result)
    stored = {file.sha256 for file in result.files}
    kept = {file.ordinal for file in case.files if decision.findings[file.ordinal].verdict is Verdict.KEPT}
    assert {file.sha256 for file in case.files if file.ordinal not in kept} <= stored
    if decision.problem is None and target is not None:
        replaced = {one.replaces: one.file for one in decision.contents.files if one.replaces is not None}
        for file in target.files:
            if file.row in replaced:
                new = replaced[file.row]
                assert (new.sop_instance_uid, new.sop_class_uid) == (file.sop_instance_uid, file.sop_class_uid)
            else:
                assert file in result.files


@given(uploads, uploads, st.sampled_from(list(Area)), overwrites, overwrites, duplicates)
def test_what_has_been_merged_is_known_afterwards(
    there: list[Sent], upload: list[Sent], area: Area, overwrite: Overwrite, again: Overwrite, what: Duplicates
) -> None:
    if what is Duplicates.CONFLICT:
        what = Duplicates.IDENTICAL
    target = first_session(there, area)
    case = second_case(upload, target, area, overwrite, what)
    decision = decide(case)
    if decision.problem is None:
        repeated = second_case(upload, after(case, decision), area, again, what)
        assert decide(repeated).outcome is Outcome.UNCHANGED


@given(uploads, st.sampled_from(list(Area)), overwrites)
def test_a_new_session_has_every_file_once(upload: list[Sent], area: Area, overwrite: Overwrite) -> None:
    case = second_case(upload, None, area, overwrite, Duplicates.IDENTICAL)
    decision = decide(case)
    check_findings(case, decision)
    result = after(case, decision)
    check_names(result)
    assert Counter(file.sha256 for file in result.files) == Counter({one.body for one in upload})
    assert decision.place in {Place.ARCHIVE, Place.PREARCHIVE}


@given(uploads, uploads, overwrites, duplicates, st.integers())
def test_the_order_in_which_facts_are_read_does_not_matter(
    there: list[Sent], upload: list[Sent], overwrite: Overwrite, what: Duplicates, seed: int
) -> None:
    case = second_case(upload, first_session(there, Area.ARCHIVE), Area.ARCHIVE, overwrite, what)
    files, series = list(case.files), list(case.series)
    Random(seed).shuffle(files)
    Random(seed).shuffle(series)
    shuffled = replace(case, files=tuple(files), series=tuple(series))
    assert decide(shuffled) == decide(case)
