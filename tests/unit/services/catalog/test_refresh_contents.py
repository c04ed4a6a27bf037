"""What is read of an object: digests, and a DICOM file's identity."""

import hashlib
import random

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, MRImageStorage

from libs.common.storage import memory_store
from services.catalog.refresh import Contents, DicomFacts
from services.catalog.refresh_contents import HEAD_BYTES, TooShort, read_all, read_dicom
from tests.builders import dicom_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
UID = "1.2.3.4"
FACTS = DicomFacts(UID, MRImageStorage, "7", 30)
BODY = dicom_bytes(SOPInstanceUID=UID, InstanceNumber=7, NumberOfFrames=30)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_a_dicom_file_says_who_it_is_in_every_encoding(syntax: str) -> None:
    body = dicom_bytes(transfer_syntax=syntax, SOPInstanceUID=UID, InstanceNumber=7, NumberOfFrames=30)
    assert read_dicom(body, is_whole=True) == FACTS


def test_a_file_without_preamble_and_meta_information_is_read() -> None:
    start = BODY.index(b"\x08\x00\x16\x00")
    assert read_dicom(BODY[start:], is_whole=True) == FACTS


@pytest.mark.parametrize("body", [b"", b"text", b"\x08\x00", bytes(200), b"\x02\x00" * 100, BODY[:140]])
def test_anything_else_is_a_file_like_any_other(body: bytes) -> None:
    assert read_dicom(body, is_whole=True) is None


def test_a_header_that_goes_on_is_not_judged_by_its_beginning() -> None:
    end = BODY.index(b"\x28\x00\x02\x00")  # what is needed lies before
    for length in range(140, end - 40, 7):
        assert isinstance(read_dicom(BODY[:length], is_whole=False), TooShort), length


def test_damaged_bytes_never_raise() -> None:
    chance = random.Random(1)
    for _ in range(500):
        body = bytearray(BODY[: chance.randrange(132, len(BODY))])
        for _ in range(chance.choice([1, 5, 50])):
            body[chance.randrange(len(body))] = chance.randrange(256)
        read_dicom(bytes(body), is_whole=chance.random() < 0.5)


async def test_objects_are_read_whole_and_those_that_are_gone_left_out() -> None:
    store = memory_store()
    late = dicom_bytes(
        SOPInstanceUID=UID, InstanceNumber=7, NumberOfFrames=30, PatientComments="x" * 60_000, ImageComments="y"
    )
    bodies = {"a": BODY, "empty": b"", "text": b"text" * HEAD_BYTES, "late": late}
    for key, body in bodies.items():
        await store.put(key, body)
    found = await read_all(store, {key: len(body) for key, body in bodies.items()} | {"gone": 5})
    assert found == {
        key: Contents(
            len(body),
            hashlib.md5(body).hexdigest(),
            hashlib.sha256(body).hexdigest(),
            FACTS if key in {"a", "late"} else None,
        )
        for key, body in bodies.items()
    }
