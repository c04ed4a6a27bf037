import pytest

from libs.common.configs import Configs, Place
from libs.common.dicom_classes import PetMr
from libs.common.errors import UserError
from libs.common.preferences import (
    PREFERENCES,
    Preferences,
    check_preference,
    preferences_of,
)


def configs(*rows):
    return Configs({Place(project, tool, path): contents for project, tool, path, contents in rows})


def test_without_any_row_the_defaults_are_those_of_the_dataclass():
    assert preferences_of(Configs()) == Preferences()


def test_a_site_preference_is_read_by_its_type():
    found = preferences_of(
        configs(
            (None, "siteConfig", "useSopInstanceUidToUniquelyIdentifyDicom", "false"),
            (None, "siteConfig", "sessionXmlRebuilderInterval", "1"),
            (None, "siteConfig", "dicomFileNameTemplate", "${SOPInstanceUID}"),
        )
    )
    assert (found.matches_by_uid, found.rebuild_after_minutes, found.file_name_template) == (
        False,
        1,
        "${SOPInstanceUID}",
    )


def test_a_text_that_is_no_value_any_more_counts_as_none():
    found = preferences_of(configs((None, "siteConfig", "sessionXmlRebuilderInterval", "soon")))
    assert found == Preferences()


def test_a_project_has_its_own_pet_mr_policy():
    rows = configs((None, "separatePETMR", "config", "pet"), ("P", "separatePETMR", "config", "separate"))
    assert preferences_of(rows, "P").pet_mr is PetMr.SEPARATE
    assert preferences_of(rows, "Q").pet_mr is PetMr.PET
    assert preferences_of(rows).pet_mr is PetMr.PET


@pytest.mark.parametrize(
    ("name", "text", "stored"),
    [
        ("preventCrossModalityMerge", " TRUE ", "true"),
        ("sessionXmlRebuilderInterval", "05", "5"),
        ("dicomFileNameTemplate", "${StudyInstanceUID}_${StudyInstanceUID}.dcm", None),
    ],
)
def test_a_value_is_stored_in_one_spelling(name, text, stored):
    assert check_preference(name, text) == (stored or text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("preventCrossModalityMerge", "yes", "preventCrossModalityMerge must be true or false."),
        ("sessionXmlRebuilderInterval", "10081", "minutes from 0"),
        ("sessionXmlRebuilderInterval", "-5", "minutes from 0"),
        ("sessionXmlRebuilderInterval", "٥", "minutes from 0"),
        ("dicomFileNameTemplate", "image.dcm", "must name at least one element"),
        ("dicomFileNameTemplate", "${SOPInstanceUID", "must name at least one element"),
        ("dicomFileNameTemplate", "${SOPInstanceUID}${", "begins or ends no"),
        ("dicomFileNameTemplate", "../${SOPInstanceUID}", "may hold letters"),
        ("dicomFileNameTemplate", "${A}" * 200, "longer than 500"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name, text, said):
    with pytest.raises(UserError) as refused:
        check_preference(name, text)
    assert name in refused.value.detail
    assert said in refused.value.detail


def test_an_unknown_preference_is_not_found_and_the_known_ones_are_named():
    with pytest.raises(UserError, match="dicomFileNameTemplate") as refused:
        check_preference("siteColour", "blue")
    assert refused.value.code == "not-found"


def test_every_default_can_be_set():
    for name, preference in PREFERENCES.items():
        assert check_preference(name, preference.default) == preference.default
