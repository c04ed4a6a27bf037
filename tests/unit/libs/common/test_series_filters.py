import json

import pytest

from libs.common.dicom_tags import parse_tag
from libs.common.errors import UserError
from libs.common.series_filters import Filter, parse_filter


def contents(mode="blacklist", list="", enabled="true", **more):
    return json.dumps({"mode": mode, "list": list, "enabled": enabled, **more})


def reason(filter_contents, **values):
    read = {parse_tag(keyword.replace("_", ",")): value for keyword, value in values.items()}
    return parse_filter(filter_contents).reason(read.get)


@pytest.mark.parametrize(
    ("description", "is_out"),
    [
        ("SAG LOCALIZER", True),
        ("sag localizer", True),
        ("Data Sheet 1", True),
        ("SAG LOCALIZER 2", False),
        ("T1", False),
    ],
)
def test_a_blacklist_leaves_out_what_one_line_matches_as_a_whole(description, is_out):
    lines = contents(list="^.*Sheet.*$\nSag Localizer\n")
    assert bool(reason(lines, SeriesDescription=description)) is is_out


def test_a_whitelist_leaves_out_what_no_line_matches():
    lines = contents("whitelist", "T1.*\nT2.*")
    assert not reason(lines, SeriesDescription="T1 mprage")
    assert reason(lines, SeriesDescription="localizer") == "no line of the whitelist matches"
    assert reason(lines) == "no line of the whitelist matches"


@pytest.mark.parametrize("section", ["[(0018,1030)]", "[0018,1030]", "[ProtocolName]", "[(0018, 1030)]"])
def test_a_section_names_the_element_of_the_lines_behind_it(section):
    lines = contents(list=f"scout\n{section}\nphoenix.*")
    assert reason(lines, ProtocolName="PhoenixZIPReport") == "line 3 of the blacklist matches its (0018,1030)"
    assert reason(lines, SeriesDescription="Scout")
    assert not reason(lines, SeriesDescription="phoenix", ProtocolName="scout")


def test_any_value_matches_where_the_element_is_there():
    """A64: instances with a certain tag, whatever it holds."""
    lines = contents(list="[(0019,1001)]\n.*")
    assert reason(lines, **{"0019_1001": "x"})
    assert reason(lines, **{"0019_1001": ""})
    assert not reason(lines)


def test_a_reason_holds_no_value():
    assert "Doe" not in reason(contents(list="[PatientName]\n.*doe.*"), PatientName="Doe^John")


@pytest.mark.parametrize("enabled", ["false", "False", False])
def test_a_filter_that_is_not_enabled_lets_all_through(enabled):
    assert parse_filter(contents(list=".*", enabled=enabled)) == Filter()


def test_the_tags_of_a_filter_are_what_must_be_read():
    assert parse_filter(contents(list="a\n[PatientID]\nb")).tags == {0x0008103E, 0x00100020}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scout", "must be JSON"),
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "must be JSON"),
        (contents(mode=""), "mode must be blacklist or whitelist"),
        (contents(mode="modalityMap"), "modalityMap is not supported"),
        (contents(enabled="maybe"), "enabled must be"),
        (contents(list=["a"]), "list must be a text"),
        (contents("whitelist"), "would leave everything out"),
        (contents(list="a\n(b"), "line 2 of the list: the regular expression is not valid"),
        (contents(list="a\n[SeriesDescriptoin]\nb"), "line 2 of the list: SeriesDescriptoin is neither"),
        (contents(list="[(7FE0,0010)]\n.*"), "only groups 0008"),
    ],
)
def test_what_is_no_filter_is_refused_and_the_line_named(text, said):
    with pytest.raises(UserError) as refused:
        parse_filter(text)
    assert refused.value.detail.startswith("seriesImportFilter/config: ")
    assert said in refused.value.detail
