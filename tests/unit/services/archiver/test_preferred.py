"""What the site prefers: how files are matched (A24, A55), and what PET with MR is (A38, A39)."""

from dataclasses import replace

import pytest

from libs.common.dicom_classes import PetMr
from libs.common.facts import Verdict
from libs.common.requests import Overwrite
from services.archiver.cases import Outcome, Preferred
from services.archiver.merge import decide
from tests.unit.services.archiver.situations import CT, MR, PET, Sent, after, archive_case, archived, series

BY_NAME = Preferred(matches_by_uid=False)
OWN, TEMPLATE = Sent("1.dcm", "1.9", "image"), Sent("1.2-1-1-abc.dcm", "1.9", "image")


def case(*sent: Sent, preferred: Preferred, **changes: object):
    made = archive_case(*sent, **{"overwrite": Overwrite.DELETE, **changes})  # type: ignore[arg-type]
    return replace(made, policy=replace(made.policy, preferred=preferred))


def test_an_instance_under_another_name_is_added_where_names_alone_count():
    """A24, A55."""
    first = case(TEMPLATE, preferred=BY_NAME, target=archived(OWN))
    decision = decide(first)
    assert [one.verdict for one in decision.findings.values()] == [Verdict.STORED]
    left = after(first, decision)
    assert sorted(file.name for file in left.files) == [TEMPLATE.name, OWN.name]
    again = decide(case(TEMPLATE, preferred=BY_NAME, target=left))
    assert (again.outcome, again.contents.files) == (Outcome.UNCHANGED, ())


def test_an_instance_under_another_name_is_the_same_one_by_default():
    """A25: the bytes are there already."""
    decision = decide(case(TEMPLATE, preferred=Preferred(), target=archived(OWN)))
    assert decision.outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (Sent("1.dcm", "1.9", "image"), Verdict.IDENTICAL),
        (Sent("1.dcm", "1.9", "other bytes"), Verdict.REPLACED),
        (Sent("1.dcm", "1.8", "other instance"), Verdict.CONFLICT),
        (Sent("2.dcm", "1.9", "other bytes"), Verdict.STORED),
    ],
)
def test_by_name_a_file_meets_the_one_of_its_name(sent: Sent, verdict: Verdict):
    """A31 holds all the same: a file is never replaced by another instance."""
    decision = decide(case(sent, preferred=BY_NAME, target=archived(OWN)))
    assert [one.verdict for one in decision.findings.values()] == [verdict]


def test_by_name_both_files_of_one_instance_in_an_upload_stay():
    decision = decide(case(OWN, TEMPLATE, preferred=BY_NAME, overwrite=Overwrite.NONE))
    assert decision.outcome is Outcome.MERGED
    assert len(decision.contents.files) == 2


@pytest.mark.parametrize(
    ("policy", "descriptions", "xsi_type"),
    [
        (PetMr.PETMR, ("t1",), "xnat:petmrSessionData"),
        (PetMr.PET, ("t1",), "xnat:petSessionData"),
        (PetMr.SEPARATE, ("t1", "Head_MRAC"), "xnat:petmrSessionData"),
        (PetMr.SEPARATE, ("Head_MRAC", "MRAC_2"), "xnat:petSessionData"),
    ],
)
def test_the_project_says_what_pet_with_mr_is(policy: PetMr, descriptions: tuple[str, ...], xsi_type: str):
    """A38, A39, §4.4 step 1."""
    sent = [Sent("p.dcm", "1.1", "p", series="1.1", sop_class=PET)]
    found = [series("1.1", "1", PET, "PT")]
    for number, description in enumerate(descriptions, start=2):
        uid = f"1.{number}"
        sent.append(Sent(f"{number}.dcm", f"1.1.{number}", "m", series=uid, sop_class=MR))
        found.append(replace(series(uid, str(number)), attributes={"SeriesDescription": description}))
    decision = decide(case(*sent, preferred=Preferred(pet_mr=policy), series=tuple(found)))
    assert decision.xsi_type == xsi_type


@pytest.mark.parametrize(("keeps_apart", "outcome"), [(True, Outcome.CONFLICT), (False, Outcome.MERGED)])
def test_sessions_of_several_types_join_only_where_the_site_allows_it(keeps_apart: bool, outcome: Outcome):
    """§7.3: preference `preventCrossModalityMerge`; the session keeps its type."""
    ct = Sent("9.dcm", "1.7", "ct", series="1.7", sop_class=CT)
    joining = case(
        ct,
        preferred=Preferred(keeps_types_apart=keeps_apart),
        target=archived(OWN),
        series=(series("1.7", "2", CT, "CT"),),
    )
    decision = decide(joining)
    assert decision.outcome is outcome
    assert outcome is Outcome.CONFLICT or decision.xsi_type == "xnat:mrSessionData"
