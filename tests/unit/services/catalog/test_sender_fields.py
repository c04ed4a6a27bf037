"""Where a sender's XML paths belong."""

import pytest

from services.catalog.sender_fields import SenderFields, share_out

MR = "xnat:mrSessionData"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("xnat:mrSessionData/note", SenderFields(texts={"note": "v"})),
        ("xnat:imageSessionData/note", SenderFields(texts={"note": "v"})),
        ("xnat:experimentData/date", SenderFields(texts={"date": "v"})),
        ("xnat:mrSessionData/study_id", SenderFields(attributes={"study_id": "v"})),
        ("xnat:mrSessionData/@study_id", SenderFields(attributes={"study_id": "v"})),
        ("xnat:mrSessionData/scanner/model", SenderFields(parts={"scanner": {"model": "v"}})),
        ("xnat:mrSessionData/fields/field[name=a b]/field", SenderFields(variables={"a b": "v"})),
        ("xnat:mrSessionData/fields/field[@name='x']", SenderFields(variables={"x": "v"})),
        ("xnat:mrSessionData/ID", SenderFields()),
        ("xnat:mrSessionData/label", SenderFields()),
        ("xnat:mrSessionData/scans/scan", SenderFields()),
        ("xnat:mrSessionData/blood_glucose", SenderFields()),
        ("xnat:subjectData/note", SenderFields()),
        ("note", SenderFields()),
        ("", SenderFields()),
    ],
)
def test_each_path_has_its_place_or_none(path: str, expected: SenderFields) -> None:
    assert share_out({path: "v"}, MR) == expected


def test_empty_values_are_left_out() -> None:
    assert share_out({"xnat:mrSessionData/note": ""}, MR) == SenderFields()
