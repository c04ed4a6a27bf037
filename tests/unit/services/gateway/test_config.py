import json

import pytest

from libs.common.configs import Configs, Place
from libs.common.errors import UserError
from services.gateway.config import check
from services.gateway.site_config import changes_of, read_text, read_texts, values_of

SITE_FILTER = Place(None, "seriesImportFilter", "config")


@pytest.mark.parametrize(
    ("project", "tool", "path", "contents", "said"),
    [
        (None, "dicom", "projectRules", "(0008,0050):(.*)\nnonsense", "dicom/projectRules line 2"),
        ("P", "dicom", "sessionRules", "(0010,0020):(.*", "dicom/sessionRules line 1"),
        ("P", "dicom", "projectRules", "(0008,0050):(.*)", "the site's alone"),
        (None, "seriesImportFilter", "config", '{"mode": "x"}', "mode must be"),
        ("P", "separatePETMR", "config", "both", "separatePETMR/config must be petmr or pet or separate"),
        ("P", "siteConfig", "checksums", "true", "a project has none"),
        (None, "siteConfig", "checksums", "drop", "checksums must be"),
        (None, "anon", "script", "(0010,0010) := project", "not run"),
        ("P", "anon", "projects/P", "(0010,0010) := project", "not run"),
        (None, "edit", "projects/P/image/dicom/status", "true", "not run"),
        (None, "tool", "path", "a\0b", "NUL"),
        (None, "t" * 256, "path", "a", "at most 255"),
        (None, "tool", "a\u202eb", "a", "printable"),
    ],
)
def test_contents_that_mean_nothing_there_are_refused(project, tool, path, contents, said):
    with pytest.raises(UserError) as refused:
        check(Place(project, tool, path), contents)
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("project", "tool", "path", "contents"),
    [
        (None, "dicom", "projectRules", "(0008,0050):(.*)\n"),
        ("P", "dicom", "sessionRules", ""),
        ("P", "separatePETMR", "config", " separate\n"),
        (None, "anon", "script", ""),
        (None, "edit", "projects/P/image/dicom/status", "false"),
        ("P", "applet", "allow-create-subject", "true"),
        ("P", "seriesImportFilter", "config", '{"mode":"blacklist","enabled":"true","list":"localizer"}'),
    ],
)
def test_other_contents_are_stored_as_they_are(project, tool, path, contents):
    assert check(Place(project, tool, path), contents) == contents


def test_a_site_shows_every_preference_with_its_type():
    values = values_of(Configs())
    assert values["preventCrossModalityMerge"] is True
    assert values["sessionXmlRebuilderInterval"] == 5
    assert values["sitewidePetMr"] == "petmr"
    assert values["enableSitewideSeriesImportFilter"] is False
    assert values["enableSitewideAnonymizationScript"] is False


def test_the_fields_of_the_sites_filter_are_preferences_too():
    set_ = {"sitewideSeriesImportFilter": "scout", "enableSitewideSeriesImportFilter": "true"}
    changes = changes_of(Configs(), set_)
    assert json.loads(changes[SITE_FILTER]) == {"mode": "blacklist", "list": "scout", "enabled": "true"}
    values = values_of(Configs(changes))
    assert values["sitewideSeriesImportFilter"] == "scout"
    assert values["enableSitewideSeriesImportFilter"] is True


@pytest.mark.parametrize("name", ["enableSitewideAnonymizationScript", "sitewideAnonymizationScript"])
def test_a_site_that_wants_anonymization_is_told_at_once(name):
    with pytest.raises(UserError) as refused:
        changes_of(Configs(), {name: "true"})
    assert refused.value.code == "anonymization-unsupported"
    assert changes_of(Configs(), {name: "false"}) == {}


def test_an_unknown_preference_is_not_found():
    with pytest.raises(UserError) as refused:
        changes_of(Configs(), {"siteColour": "blue"})
    assert refused.value.code == "not-found"


@pytest.mark.parametrize(("body", "text"), [(b"pet", "pet"), (b'"pet"', "pet"), (b"true", "true"), (b"7", "7")])
def test_a_preference_may_be_sent_as_text_or_json(body, text):
    assert read_text("sitewidePetMr", body) == text


@pytest.mark.parametrize("body", [b"[]", b"null", b"1.5", b"\xff", b"{}"])
def test_a_preference_is_a_text_a_number_or_a_boolean(body):
    with pytest.raises(UserError):
        read_text("sitewidePetMr", body)


@pytest.mark.parametrize("body", [b"", b"[]", b"x", b'{"a": null}', b'{"a": [1]}', b"\xff"])
def test_preferences_are_a_json_object_of_simple_values(body):
    with pytest.raises(UserError):
        read_texts(body)
