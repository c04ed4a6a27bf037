"""File names as XNAT gives them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from libs.common.preferences import FILE_NAME_TEMPLATE
from services.router.filenames import NAME_LENGTH, keywords_of, list_hash, template_name
from services.router.headers import Header, read_header

GOLDEN = Path(__file__).parents[5] / "shared" / "data" / "08_mr_xnat_renamed_golden"
MR = "1.2.840.10008.5.1.4.1.1.4"
CATALOG = {"cat": "http://nrg.wustl.edu/catalog"}
TEXTS = {
    "StudyInstanceUID": "1.2.3",
    "SeriesNumber": "4",
    "InstanceNumber": "5",
    "SOPClassUID": MR,
    "SOPInstanceUID": "1.2.3.4.5",
}


@pytest.mark.parametrize(
    ("instance", "hashed"),
    [
        ("1.2.3.4.5", "14o7axy"),
        ("1.2.840.113654.2.45.2.124897", "2z66eu"),
        ("1.2.840.113654.2.45.2.122578", "2z4u60"),
    ],
)
def test_the_hash_is_that_of_the_worked_examples(instance: str, hashed: str) -> None:
    assert list_hash([MR, instance]) == hashed


def test_the_hash_counts_utf_16_units() -> None:
    assert list_hash(["\U0001f600"]) == list_hash(["\ud83d\ude00"])


def test_the_default_template_gives_the_name_of_the_worked_example() -> None:
    assert template_name(FILE_NAME_TEMPLATE, TEXTS) == "1.2.3-4-5-14o7axy.dcm"


def test_every_file_that_xnat_renamed_gets_the_same_name() -> None:
    files = [path for path in GOLDEN.glob("*.dcm") if path.name.startswith("1.2.276")]
    assert len(files) == 6
    for path in files:
        header = read_header(path.read_bytes(), is_whole=True)
        assert isinstance(header, Header)
        assert template_name(FILE_NAME_TEMPLATE, header.texts) == path.name


def test_every_name_in_a_catalog_that_xnat_wrote_is_the_templates() -> None:
    named = [line for line in (GOLDEN / "expectedNames.txt").read_text().split() if line]
    entries = etree.parse(GOLDEN / "scan_5_catalog.xml").xpath("//cat:entry[@UID]", namespaces=CATALOG)
    numbers = {entry.get("instanceNumber"): entry.get("UID") for entry in entries}
    checked = 0
    for name in named:
        study, series, instance, _ = re.fullmatch(r"(.+)-(\d+)-(\d+)-(\w+)\.dcm", name).groups()  # type: ignore[union-attr]
        if instance in numbers:
            texts = {
                "StudyInstanceUID": study,
                "SeriesNumber": series,
                "InstanceNumber": instance,
                "SOPClassUID": MR,
                "SOPInstanceUID": numbers[instance],
            }
            assert template_name(FILE_NAME_TEMPLATE, texts) == name
            checked += 1
    assert checked >= 6


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("${StudyInstanceUID}-${SeriesNumber}", "1.2.3-4.dcm"),
        ("${SeriesNumber}_${SeriesNumber}-${InstanceNumber}", "4_4-5.dcm"),
        ("${InstanceNumber}.ima", "5.ima"),
        ("${InstanceNumber}.${SeriesNumber}", "5.4"),
        ("..${InstanceNumber}-x", "5-x"),
        ("${EchoTime}-${InstanceNumber}", "no-value-for-EchoTime-5.dcm"),
        ("a/b\\c", "a_b_c.dcm"),
        ("${Patient Name}", "${Patient Name}.dcm"),
        ("", "no-name.dcm"),
        ("...", "no-name.dcm"),
    ],
)
def test_templates(template: str, name: str) -> None:
    """A26, A27: names follow the template, also where it says one thing twice or nothing that tells files apart."""
    assert template_name(template, TEXTS) == name


def test_a_missing_instance_number_is_said_and_the_hash_still_tells_instances_apart() -> None:
    """A21."""
    texts = {name: value for name, value in TEXTS.items() if name != "InstanceNumber"}
    one = template_name(FILE_NAME_TEMPLATE, texts)
    other = template_name(FILE_NAME_TEMPLATE, {**texts, "SOPInstanceUID": "1.2.3.4.6"})
    assert one == "1.2.3-4-no-value-for-InstanceNumber-14o7axy.dcm"
    assert other.startswith("1.2.3-4-no-value-for-InstanceNumber-")
    assert one != other


def test_a_hash_may_be_of_more_than_two_values() -> None:
    assert template_name("${HashSOPClassUIDWithSOPInstanceUIDWithSeriesNumber}", TEXTS) == (
        list_hash([MR, "1.2.3.4.5", "4"]) + ".dcm"
    )


def test_the_keywords_of_a_template_are_what_must_be_read() -> None:
    template = "x${HashSOPClassUIDWithSOPInstanceUID}-${EchoTime}"
    assert keywords_of(template) == {"SOPClassUID", "SOPInstanceUID", "EchoTime"}


@given(st.text(), st.text(), st.text())
def test_no_value_and_no_template_makes_an_unsafe_name(template: str, value: str, other: str) -> None:
    for one in (f"{template}${{PatientName}}{other}", template):
        name = template_name(one, {"PatientName": value})
        assert 0 < len(name) <= NAME_LENGTH
        assert not name.startswith(".")
        assert not re.search(r"[/\\\x00-\x1f\x7f]", name)


def test_long_names_that_differ_only_at_their_end_stay_apart() -> None:
    names = {template_name("${PatientName}", {"PatientName": "x" * 300 + end}) for end in "ab"}
    assert len(names) == 2
