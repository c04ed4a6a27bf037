import struct

from hypothesis import given
from hypothesis import strategies as st

from services.router.elements import Element, End, Syntax, walk

EXPLICIT, IMPLICIT, BIG = Syntax(False, True), Syntax(False, False), Syntax(True, True)
WANTED = {0x00080060: None, 0x00100020: None}
UNDEFINED = 0xFFFFFFFF


def short(group, element, vr, value, order="<"):
    return struct.pack(f"{order}HH2sH", group, element, vr, len(value)) + value


def long(group, element, vr, value, length=None):
    return struct.pack("<HH2sHI", group, element, vr, 0, len(value) if length is None else length) + value


def bare(group, element, value, length=None):
    return struct.pack("<HHI", group, element, len(value) if length is None else length) + value


MODALITY, PATIENT = short(0x0008, 0x0060, b"CS", b"MR"), short(0x0010, 0x0020, b"LO", b"P1")
PIXELS = long(0x7FE0, 0x0010, b"OW", bytes(4))
BOTH = {0x00080060: Element(b"CS", b"MR"), 0x00100020: Element(b"LO", b"P1")}


def test_a_walk_ends_behind_the_last_group():
    walked = walk(MODALITY + PATIENT + PIXELS, 0, EXPLICIT, WANTED, 0x0032)
    assert (walked.elements, walked.end, walked.position) == (BOTH, End.PASSED, len(MODALITY + PATIENT))


def test_bytes_that_end_with_an_element_are_exhausted():
    assert walk(MODALITY + PATIENT, 0, EXPLICIT, WANTED, 0x0032).end is End.EXHAUSTED


def test_bytes_that_end_within_an_element_say_where_it_ends():
    walked = walk((MODALITY + PATIENT)[:-1], 0, EXPLICIT, WANTED, 0x0032)
    assert (walked.elements.keys(), walked.end) == ({0x00080060}, End.SHORT)
    assert walked.position == len(MODALITY + PATIENT)


def test_an_element_that_nobody_wants_may_lie_outside():
    walked = walk(MODALITY + long(0x0009, 0x1010, b"OB", b"", 10_000), 0, EXPLICIT, WANTED, 0x0032)
    assert (walked.end, walked.position) == (End.SHORT, len(MODALITY) + 12 + 10_000)


def test_implicit_and_big_endian_elements_are_read():
    body = bare(0x0008, 0x0060, b"MR") + bare(0x0010, 0x0020, b"P1")
    assert walk(body, 0, IMPLICIT, WANTED, 0x0032).elements[0x00100020] == Element(b"", b"P1")
    body = short(0x0008, 0x0060, b"CS", b"MR", ">") + short(0x0010, 0x0020, b"LO", b"P1", ">")
    assert walk(body, 0, BIG, WANTED, 0x0032).elements == BOTH


def test_an_element_without_a_legal_vr_is_implicit():
    body = MODALITY + bare(0x0008, 0x1030, b"something") + PATIENT
    assert walk(body, 0, EXPLICIT, WANTED, 0x0032).elements == BOTH


def test_sequences_of_undefined_length_hide_their_elements():
    other = short(0x0010, 0x0020, b"LO", b"NO")
    end_item, end_sequence = bare(0xFFFE, 0xE00D, b""), bare(0xFFFE, 0xE0DD, b"")
    inner = long(0x0008, 0x1140, b"SQ", bare(0xFFFE, 0xE000, other), UNDEFINED) + end_sequence
    items = bare(0xFFFE, 0xE000, other + inner, UNDEFINED) + end_item + bare(0xFFFE, 0xE000, other)
    sequence = long(0x0008, 0x1115, b"SQ", items, UNDEFINED) + end_sequence
    walked = walk(MODALITY + sequence + PATIENT + PIXELS, 0, EXPLICIT, WANTED, 0x0032)
    assert (walked.elements, walked.end) == (BOTH, End.PASSED)


def test_an_unknown_sequence_of_undefined_length_is_implicit_inside():
    """PS3.5 §6.2.2, note on UN."""
    item = bare(0xFFFE, 0xE000, bare(0x0010, 0x0020, b"AB" * 40), UNDEFINED) + bare(0xFFFE, 0xE00D, b"")
    unknown = long(0x0009, 0x1001, b"UN", item, UNDEFINED) + bare(0xFFFE, 0xE0DD, b"")
    assert walk(MODALITY + unknown + PATIENT + PIXELS, 0, EXPLICIT, WANTED, 0x0032).elements == BOTH


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, BIG]))
def test_any_bytes_end_a_walk(body, syntax):
    walked = walk(body, 0, syntax, WANTED, 0x0032)
    assert walked.position >= 0
    assert walked.end is not End.EXHAUSTED or walked.position == len(body)
