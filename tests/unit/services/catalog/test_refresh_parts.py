"""Parts of a large refresh: each bounded, together everything."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.commands import NameRange
from services.catalog.refresh_objects import FOLDERS_AT_MOST, listing_prefixes
from services.catalog.refresh_parts import Limits, Load, Name, Part, cut, fits, split

LIMITS = Limits(folders=3, files=10, reads=5, read_bytes=100)


def test_what_is_small_needs_no_parts() -> None:
    assert fits({"A": Load(5, 2, 50), "B": Load(5, 3, 50)}, LIMITS)
    assert not fits({"A": Load(5), "B": Load(6)}, LIMITS)
    assert not fits({"A": Load(1, 1, 101)}, LIMITS)
    assert not fits({name: Load() for name in "ABCD"}, LIMITS)


def test_folders_share_a_part_until_it_is_full() -> None:
    loads = {name: Load(2, 2, 2) for name in "ABCDE"}
    assert split(loads, {}, LIMITS) == [Part(("A", "B")), Part(("C", "D")), Part(("E",))]


def test_a_folder_too_large_is_cut_by_names() -> None:
    names = [Name(f"{n:03d}", 1) for n in range(12)]
    parts = split({"A": Load(1), "B": Load(12, 12, 12)}, {"B": names}, LIMITS)
    assert parts == [
        Part(("A",)),
        Part(("B",), NameRange(end="005")),
        Part(("B",), NameRange(first="005", end="010")),
        Part(("B",), NameRange(first="010")),
    ]


@given(
    st.lists(
        st.builds(Name, st.text(min_size=1), st.one_of(st.none(), st.integers(0, 200))), unique_by=lambda n: n.name
    ),
    st.text(),
)
def test_every_name_lies_in_exactly_one_range_and_no_range_is_too_large(names: list[Name], later: str) -> None:
    ranges = cut(names, LIMITS)
    for name in [*(one.name for one in names), later]:
        assert sum(name in each for each in ranges) == 1
    for each in ranges:
        within = [one.load for one in names if one.name in each]
        assert len(within) <= 1 or not sum(within, Load()).exceeds(LIMITS)


def test_many_folders_of_a_session_are_listed_at_once_and_few_by_themselves() -> None:
    one, other = "sessions/P/E1/", "sessions/P/E2/"
    many = [f"{one}{n:016x}/4_ab12cd34/000000_a.dcm" for n in range(FOLDERS_AT_MOST + 1)]
    few = [f"{other}{n:016x}/4_ab12cd34/{m:06d}_a.dcm" for n in range(2) for m in range(3)]
    expected = [one, *(f"{other}{n:016x}/4_ab12cd34/" for n in range(2))]
    assert listing_prefixes([*many, *few]) == expected
    assert listing_prefixes([f"{one}SCANS/4/A/b/c", f"{one}SCANS/4/A/d"]) == [f"{one}SCANS/4/A/"]
