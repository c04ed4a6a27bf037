"""Whatever a header holds, a parser gets back what XML can hold of it."""

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from services.catalog.xml_text import escaped, legal, quoted


@given(st.text())
def test_any_text_survives_but_for_what_xml_forbids(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    root = etree.fromstring(f"<a b={quoted(text)}>{escaped(text)}</a>".encode())
    assert root.get("b") == legal(text)
    assert (root.text or "") == legal(text).replace("\r\n", "\n").replace("\r", "\n")


def test_control_characters_go_and_scripts_stay() -> None:
    assert legal("\x00山\x1b[A\ufffe é😀\t") == "山[A é😀\t"
