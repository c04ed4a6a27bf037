import contextlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.java_patterns import Pattern, PatternError, Replacement, TooSlow

JAVA = json.loads((Path(__file__).parents[3] / "golden" / "java_patterns.json").read_text())
"""What java.util.regex of OpenJDK 17 makes of these patterns: value -> its groups where it matches; null: an error."""
VALUES = sorted({value for matched in JAVA.values() for value in matched or {}})
ONLY_JAVA = {r"\h*x", r"\v+", r"\e", r"\cA", r"\01", "(?u)a", "[[:alpha:]]+", r"\p{javaLowerCase}"}


@pytest.mark.parametrize("text", [text for text, matched in JAVA.items() if matched is not None])
def test_a_pattern_means_what_it_means_in_java_or_is_refused(text):
    if text in ONLY_JAVA:
        with pytest.raises(PatternError):
            Pattern(text)
        return
    pattern = Pattern(text)
    matched = {value: groups_of(pattern, value) for value in VALUES if pattern.matches(value)}
    assert matched == {value: groups for value, groups in JAVA[text].items() if value in VALUES}


def groups_of(pattern, value):
    return [pattern.group(value, number) for number in range(1, pattern.groups + 1)]


@pytest.mark.parametrize("text", [text for text, matched in JAVA.items() if matched is None])
def test_what_is_an_error_in_java_is_one_here(text):
    if text in {"(?<n1>b)x", "[]a]"}:
        pytest.skip("read as it stands")
    with pytest.raises(PatternError):
        Pattern(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r"\h", r"\h is not supported"),
        ("(?P<a>b)", "(?P is not supported"),
        ("a{e<=1}", "must be written"),
        ("(a", "not valid"),
        ("a" * 1001, "longer than"),
        (r"\p{javaLowerCase}", "are supported"),
    ],
)
def test_a_refusal_says_what_is_not_supported(text, said):
    with pytest.raises(PatternError) as refused:
        Pattern(text)
    assert said in str(refused.value)


def test_without_regard_to_case():
    assert Pattern("sag localizer", ignore_case=True).matches("SAG Localizer")


def test_a_pattern_that_backtracks_without_end_is_given_up():
    began = time.monotonic()
    with pytest.raises(TooSlow):
        Pattern(r"((a|b|ab)*)+(?<=x)").matches("ab" * 32)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("target", "replacement", "value", "replaced"),
    [
        ("6", "X", "16 of 6", "1X of X"),
        ("-MR$", "", "PAT-MR", "PAT"),
        (r"(\w+)\^(\w+)", "$2_$1", "DOE^JOHN", "JOHN_DOE"),
        ("a", r"\$1\\", "a", "$1\\"),
        ("(x)?a", "<$1>", "a", "<>"),
        ("b", "X", "aaa", "aaa"),
    ],
)
def test_replacing_is_that_of_java(target, replacement, value, replaced):
    pattern = Pattern(target)
    assert pattern.replace(value, Replacement(replacement, pattern.groups)) == replaced


@pytest.mark.parametrize("replacement", ["$", "$1", "$x", "a\\", "$0"])
def test_a_replacement_that_means_nothing_is_refused(replacement):
    with pytest.raises(PatternError):
        Replacement(replacement, 0)


@given(st.text(alphabet=r"ab\QE[]{}()*+?^$.|&-12,<>=!:iPpLwdxk", max_size=30))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    with contextlib.suppress(TooSlow):
        pattern.matches("ab1-")
