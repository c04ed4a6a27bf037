from hypothesis import given
from hypothesis import strategies as st

from libs.common.facts import Attributes, fold

attributes = st.dictionaries(
    st.sampled_from(["StudyDate", "Modality", "StationName", "EchoTimes"]), st.sampled_from(["a", "b", "c"]), max_size=4
)


def test_what_files_disagree_on_has_no_value() -> None:
    assert fold([{"StudyDate": "1", "Modality": "MR"}, {"StudyDate": "2"}]) == {"StudyDate": None, "Modality": "MR"}


def test_station_names_are_gathered() -> None:
    assert fold([{"StationName": "B"}, {"StationName": "A"}, {"StationName": "B"}]) == {"StationName": "A,B"}


@given(st.lists(attributes, max_size=6), st.integers(0, 6))
def test_batches_fold_in_any_grouping_and_order(parts: list[Attributes], cut: int) -> None:
    whole = fold(parts)
    assert fold([fold(parts[:cut]), fold(parts[cut:])]) == whole
    assert fold(reversed(parts)) == whole
    assert fold([whole, whole]) == whole
