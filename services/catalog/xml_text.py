"""Text as XML 1.0 may hold it (pure): header values carry control characters that no XML parser accepts."""

import re

from libs.common.xml_characters import ILLEGAL

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
"""XNAT's clients look for exactly this first line (clients §4)."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TEXT = str.maketrans(_ESCAPES)
_PLAIN = re.compile("[\x20\x21\x23-\x25\x27-\x3b\x3d\x3f-\x7e]*")
_ATTRIBUTE = str.maketrans({**_ESCAPES, '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


def legal(text: str) -> str:
    """`text` without the characters that XML 1.0 §2.2 forbids; everything else stays, in any script."""
    return ILLEGAL.sub("", text)


def escaped(text: str) -> str:
    """`text` as the content of an element."""
    return legal(text).translate(_TEXT)


def quoted(text: str) -> str:
    """`text` as an attribute's value, in double quotes; line breaks survive attribute normalization (§3.3.3)."""
    if _PLAIN.fullmatch(text):  # nearly all are, and a catalog has a hundred thousand
        return f'"{text}"'
    return f'"{legal(text).translate(_ATTRIBUTE)}"'
