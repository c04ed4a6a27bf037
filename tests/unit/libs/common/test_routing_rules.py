import pytest

from libs.common.dicom_tags import parse_tag
from libs.common.errors import UserError
from libs.common.routing_rules import parse_rules

ACCESSION, COMMENTS, PATIENT_ID = 0x00080050, 0x00104000, 0x00100020


def say(contents, **values):
    read = {parse_tag(keyword): value for keyword, value in values.items()}
    return parse_rules("projectRules", contents).say(read.get)


@pytest.mark.parametrize(
    ("contents", "value", "said"),
    [
        (r"(0008,0050):^[0-9]{4}(.*):1 t:6 r:X", "2024P6", "PX"),
        (r"(0008,0050):^[0-9]{4}(.*):1 t:6 r:X", "x2024P6", ""),
        (r"(0008,0050):^[0-9]{4}(.*)", "2024P6", "P6"),
        (r"(0008,0050):(\d+)-(\w+):2", "12-AB", "AB"),
        (r"(0008,0050):.*:0", "whole", "whole"),
        (r"(0008,0050):(.*):1 t:-MR$ r:", "PAT-MR", "PAT"),
        (r"(0008,0050):Study:(\w+):1", "Study:A", "A"),
        (r"(0008,0050):Study:(\w+)", "Study:A", "A"),
        (r"(0008,0050):(a)?b", "b", ""),
        (r"(0008,0050):(.*)", "x" * 70, "x" * 64),
        (r"(0008,0050):(part)", "whole part", ""),
    ],
)
def test_a_rule_takes_a_group_of_the_whole_value_and_replaces_in_it(contents, value, said):
    assert say(contents, AccessionNumber=value) == said


def test_the_first_line_that_gives_something_counts():
    rules = "# by comment, else by accession\n\n(0010,4000):.*Project=(\\w+).*\n(0008,0050):(\\w+)_.*\n"
    assert say(rules, PatientComments="Project=A", AccessionNumber="B_1") == "A"
    assert say(rules, PatientComments="none", AccessionNumber="B_1") == "B"
    assert say(rules, AccessionNumber="B_1") == "B"
    assert say(rules, AccessionNumber="B1") == ""


def test_the_tags_of_rules_are_what_must_be_read():
    assert parse_rules("aaRules", "(0010,4000):(.*)\n(0008,0050):(.*)\n").tags == {COMMENTS, ACCESSION}


def test_a_dot_stops_at_a_line_break_of_any_kind():
    for line_break in ("\n", "\r\n", "\r"):
        assert say("(0010,4000):(.*)", PatientComments=f"a{line_break}b") == ""
        assert say(r"(0010,4000):(?s)a.(b)", PatientComments=f"a{line_break}b") == "b"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PatientID:(.*):1", "must have the form"),
        ("(0010,0020)(.*)", "must have the form"),
        ("(0010,0020):", "must have the form"),
        ("(0010,00):(.*)", "neither a tag"),
        ("(0010,0020):.*", "has no group 1"),
        ("(0010,0020):(.*):2", "has no group 2"),
        ("(0010,0020):(.*:1", "not valid"),
        ("(0010,0020):(.*):1 t:( r:x", "not valid"),
        ("(0010,0020):(.*):1 t:a r:$1", "names group 1"),
        (r"(0010,0020):(\h*)", r"\h is not supported"),
        ("(0002,0016):(.*)", "only groups 0008 to 7FDF"),
        ("(7FE0,0010):(.*)", "only groups 0008 to 7FDF"),
    ],
)
def test_a_line_that_is_no_rule_is_refused_with_its_number(line, said):
    with pytest.raises(UserError) as refused:
        parse_rules("sessionRules", f"(0010,0020):(.*)\n{line}\n")
    assert refused.value.detail.startswith("dicom/sessionRules line 2: ")
    assert said in refused.value.detail


def test_a_rule_that_takes_too_long_is_no_silent_miss():
    """The data would land elsewhere."""
    with pytest.raises(UserError) as refused:
        say(r"(0010,0020):((a|b|ab)*)+(?<=x)", PatientID="ab" * 32)
    assert refused.value.code == "rule-too-slow"
    assert "ab" not in refused.value.detail


def test_too_many_rules_are_refused():
    with pytest.raises(UserError):
        parse_rules("aaRules", "(0010,0020):(.*)\n" * 201)
