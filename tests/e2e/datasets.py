"""The data sets of the acceptance cases, by their letters: synthetic, of the form that the cases say."""

from pydicom.uid import PositronEmissionTomographyImageStorage

from tests.builders import series, uid, zip_bytes


def a(seed: str) -> bytes:
    """A: one MR study, one series (number 1), 6 files `1.dcm`..`6.dcm` in a folder; empty study description."""
    return zip_bytes({f"A/{number}.dcm": body for number, body in enumerate(_images(6, seed, "A1"), 1)})


def b(seed: str, number: int, study: str = "B") -> bytes:
    """B1 and B2: series `number` of one MR study, 16 files `000000.dcm`..`000015.dcm`."""
    images = _images(16, seed, f"B{number}", study, SeriesNumber=number)
    return zip_bytes({f"{position:06d}.dcm": body for position, body in enumerate(images)})


def pet(seed: str) -> bytes:
    """One PET image, in a study of its own."""
    more = {"Modality": "PT", "SOPClassUID": PositronEmissionTomographyImageStorage}
    return zip_bytes({"pet.dcm": _images(1, seed, "PET", "PET", **more)[0]})


def _images(count: int, seed: str, name: str, study: str = "A", **more: object) -> list[bytes]:
    own = {"StudyInstanceUID": uid("study", study, seed), "StudyDescription": "", "PatientName": "Name_A"}
    return series(count, f"{name}/{seed}", **{"PatientID": "ID_A", **own, **more})
