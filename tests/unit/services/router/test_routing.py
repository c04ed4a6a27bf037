import pytest

from libs.common.configs import Configs, Place
from libs.common.errors import UserError
from libs.common.requests import Destination
from services.router.policies import policies_of
from services.router.rules import identify, project_candidates

NOWHERE = Destination()


def routing(*rules, project=None):
    """Rules as (project or None, path, contents)."""
    return policies_of(Configs({Place(of, "dicom", path): contents for of, path, contents in rules}), project).routing


def named(texts, *rules, usable=(), destination=NOWHERE):
    return identify([texts], destination, {name: name for name in usable}, routing(*rules))


PATIENT = {"PatientName": "DOE^JOHN", "PatientID": "PAT01"}


def test_a_site_rule_comes_before_the_fixed_list():
    texts = {**PATIENT, "PatientComments": "Session:B", "(0008,0050)": "2024-A7"}
    identity = named(texts, (None, "sessionRules", r"(0008,0050):\d{4}-(.*)"))
    assert (identity.session_label, identity.subject_label) == ("A7", "DOE_JOHN")


def test_the_fixed_list_follows_where_no_rule_says_anything():
    identity = named({**PATIENT, "(0008,0050)": "x"}, (None, "subjectRules", r"(0008,0050):\d{4}-(.*)"))
    assert identity.subject_label == "DOE_JOHN"


def test_a_parameter_comes_before_every_rule():
    identity = named(
        {**PATIENT, "(0010,0020)": "PAT01"},
        (None, "sessionRules", "(0010,0020):(.*)"),
        destination=Destination(session="mine"),
    )
    assert identity.session_label == "mine"


def test_what_a_rule_says_is_cleaned_like_any_label():
    assert named({"(0010,0020)": "A 1/2"}, (None, "sessionRules", "(0010,0020):(.*)")).session_label == "A_1_2"


def test_a_project_by_rule_counts_only_if_it_resolves():
    rules = (None, "projectRules", "(0008,0050):(.*)\n(0010,0020):(.*)")
    texts = {**PATIENT, "StudyDescription": "Q", "(0008,0050)": "gone", "(0010,0020)": "P"}
    assert project_candidates(texts, routing(rules)) == ["gone", "P", "Q"]
    assert named(texts, rules, usable={"P", "Q"}).project == "P"
    assert named(texts, rules, usable={"Q"}).project == "Q"
    assert named(texts, rules).project is None


def test_a_projects_own_rules_follow_those_of_the_site():
    texts = {**PATIENT, "StudyDescription": "P", "(0008,0050)": "ACC", "(0010,0020)": "PAT01"}
    own = ("P", "sessionRules", "(0008,0050):(.*)")
    assert named(texts, own, usable={"P"}).session_label == "ACC"
    assert named(texts, own).session_label == "PAT01"
    assert named(texts, own, (None, "sessionRules", "(0010,0020):(PAT)01"), usable={"P"}).session_label == "PAT"


@pytest.mark.parametrize(("value", "asked"), [("yes", None), ("T", True), ("false", False)])
def test_a_rule_may_ask_for_the_archive(value, asked):
    assert named({"(0010,4000)": value}, (None, "aaRules", "(0010,4000):(.*)")).auto_archive is asked


def test_headers_that_differ_in_what_rules_look_at_are_all_asked():
    headers = [{"PatientName": "DOE", "(0008,0050)": ""}, {"PatientName": "DOE", "(0008,0050)": "ACC"}]
    rules = routing((None, "sessionRules", "(0008,0050):(.+)"))
    assert identify(headers, NOWHERE, {}, rules).session_label == "ACC"


def test_the_elements_of_all_rules_are_read():
    found = routing((None, "aaRules", "(0010,4000):(.*)"), ("P", "subjectRules", "(0008,0050):(.*)"))
    assert found.tags == {0x00104000, 0x00080050}


def test_a_broken_config_of_a_project_that_nobody_named_does_not_count():
    broken = ("Q", "subjectRules", "nonsense")
    assert routing(broken).projects == {}
    with pytest.raises(UserError):
        routing(broken, project="Q")
    with pytest.raises(UserError):
        routing((None, "subjectRules", "nonsense"))
