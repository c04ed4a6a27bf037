import json

from libs.common.configs import Configs, Place
from services.router.filters import left_out
from services.router.headers import Header, NotDicom, read_header, wanted_with
from services.router.policies import policies_of
from tests import builders

STUDY = builders.uid("study", 1)


def filters(**lists):
    """Blacklists of the site (`site`) and of projects."""
    contents = {
        Place(None if of == "site" else of, "seriesImportFilter", "config"): json.dumps(
            {"mode": "blacklist", "list": lines, "enabled": "true"}
        )
        for of, lines in lists.items()
    }
    return policies_of(Configs(contents), None).filters


def headers(found, *datasets):
    read = [read_header(builders.dicom_bytes(ds), is_whole=True, wanted=wanted_with(found.tags)) for ds in datasets]
    assert all(isinstance(one, Header) for one in read)
    return dict(enumerate(read))


def test_an_instance_with_a_certain_element_is_left_out_and_its_neighbours_are_not():
    """A64."""
    marked = builders.dataset()
    marked.add_new(0x00191001, "LO", "")
    found = filters(site="[(0019,1001)]\n.*")
    out = left_out(headers(found, builders.dataset(), marked, builders.dataset()), {STUDY: "P"}, found)
    assert out == {
        1: NotDicom("filtered: the site's series import filter: line 2 of the blacklist matches its (0019,1001)")
    }


def test_the_filter_of_another_project_does_not_count():
    found = filters(P="localizer", Q="t1")
    one = headers(found, builders.dataset(SeriesDescription="Localizer"), builders.dataset(SeriesDescription="T1"))
    assert list(left_out(one, {STUDY: "P"}, found)) == [0]
    assert list(left_out(one, {STUDY: "Q"}, found)) == [1]
    assert left_out(one, {STUDY: None}, found) == {}


def test_without_a_filter_nothing_is_left_out():
    found = filters()
    assert found.tags == frozenset()
    assert left_out(headers(found, builders.dataset()), {STUDY: "P"}, found) == {}
