import pytest

from services.router.signatures import looks_like


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty file"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "OLE document"),
        (b'\n {"a": 1}', "JSON"),
        (b"[section]\r\nkey=1", "text"),
        ("Grüße".encode(), "text"),
        ("Grüß".encode()[:-1], "text"),
        (b"Gr\xfc\xdfe aus K\xf6ln", "unknown format"),
        (bytes(344) + b"n+1\0", "NIfTI"),
        (bytes(600), "unknown format"),
    ],
)
def test_a_format_is_known_by_its_first_bytes(head, name):
    assert looks_like(head) == name
