import pytest

from libs.common.dicom_classes import (
    SOP_CLASSES,
    PetMr,
    is_primary,
    lead_modality,
    resource_label,
    scan_type,
    session_type,
)

ROOT = "1.2.840.10008.5.1.4.1.1."
MR, ENHANCED_MR, CT, PET, SC = ROOT + "4", ROOT + "4.1", ROOT + "2", ROOT + "128", ROOT + "7"
RAW, RTSTRUCT, XA, XA_3D, PR = ROOT + "66", ROOT + "481.3", ROOT + "12.1", ROOT + "13.1.1", ROOT + "11.1"
CSA = "1.3.12.2.1107.5.9.1"


@pytest.mark.parametrize(
    ("classes", "modalities", "xsi_type"),
    [
        ([SC], ["CT"], "xnat:ctSessionData"),  # acceptance A32
        ([RTSTRUCT, ENHANCED_MR], ["RTSTRUCT", "MR"], "xnat:mrSessionData"),  # A33
        ([RAW, MR], ["MR"], "xnat:mrSessionData"),  # A34
        ([XA], ["XA"], "xnat:xaSessionData"),  # A35
        ([XA_3D], ["XA"], "xnat:xaSessionData"),  # A36
        ([MR], [""], "xnat:mrSessionData"),  # A37
        ([PET, MR], ["PT", "MR"], "xnat:petmrSessionData"),  # A38
        ([PET, CT], ["PT", "CT"], "xnat:petSessionData"),
        ([ROOT + "88.33", CT], ["SR", "CT"], "xnat:ctSessionData"),
        ([ROOT + "88.33"], ["SR"], "xnat:srSessionData"),
        ([ROOT + "66.4"], ["SEG"], "xnat:otherDicomSessionData"),
        ([SC], ["OT"], "xnat:otherDicomSessionData"),
        ([SC], ["IVUS"], "xnat:usSessionData"),
        (["1.2.3"], ["MR"], "xnat:mrSessionData"),
        ([], [], "xnat:otherDicomSessionData"),
    ],
)
def test_session_type_follows_classes_then_modalities(classes, modalities, xsi_type):
    assert session_type(classes, modalities) == xsi_type


@pytest.mark.parametrize(
    ("preference", "descriptions", "xsi_type"),
    [
        (PetMr.PET, ["T1"], "xnat:petSessionData"),  # A39
        (PetMr.SEPARATE, ["MRAC_PET", "Head_MRAC"], "xnat:petSessionData"),
        (PetMr.SEPARATE, ["MRAC_PET", "T1"], "xnat:petmrSessionData"),
        (PetMr.SEPARATE, [], "xnat:petmrSessionData"),
    ],
)
def test_pet_and_mr_together_follow_the_preference(preference, descriptions, xsi_type):
    assert session_type([PET, MR], ["PT", "MR"], descriptions, preference) == xsi_type


@pytest.mark.parametrize(
    ("classes", "modalities", "xsi_type"),
    [
        ([SC], ["CT"], "xnat:scScanData"),  # A32
        ([RTSTRUCT], ["RTSTRUCT"], "xnat:rtImageScanData"),  # A33
        ([ENHANCED_MR], ["MR"], "xnat:mrScanData"),  # A33
        ([RAW, MR], ["MR"], "xnat:mrScanData"),  # A34
        ([XA_3D], ["XA"], "xnat:xaScanData"),  # A36
        ([MR], [""], "xnat:mrScanData"),  # A37
        ([PET], ["PT"], "xnat:petScanData"),  # A38
        ([ROOT + "66.4"], ["SEG"], "xnat:segScanData"),
        ([ROOT + "88.34"], ["SR"], "xnat:srScanData"),
        ([CSA], ["MR"], "xnat:otherDicomScanData"),
        ([PR], ["PR"], "xnat:otherDicomScanData"),
        ([""], ["MR"], "xnat:mrScanData"),
    ],
)
def test_scan_type_follows_classes(classes, modalities, xsi_type):
    assert scan_type(classes, modalities) == xsi_type


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        ([MR, CT, PET, ENHANCED_MR, XA, ROOT + "481.1", ROOT + "481.2", ROOT + "88.11", ROOT + "88.22"], "DICOM"),
        ([SC, ROOT + "66.4", PR, RTSTRUCT, ROOT + "481.5", ROOT + "88.33", CSA, ROOT + "4.3", RAW, ""], "secondary"),
    ],
)
def test_resource_is_dicom_for_primary_classes_alone(classes, label):
    assert {resource_label(uid) for uid in classes} == {label}
    assert all(is_primary(uid) == (label == "DICOM") for uid in classes)


@pytest.mark.parametrize(
    ("modalities", "lead"),
    [(["SR", "MR"], "MR"), (["PR"], "PR"), (["SEG", "KO"], "KO"), (["", "OT"], "OT"), ([], "OT")],
)
def test_lead_modality_is_the_highest(modalities, lead):
    assert lead_modality(modalities) == lead


def test_every_class_is_one_of_the_standard():
    pydicom_uids = pytest.importorskip("pydicom.uid")
    assert [
        uid
        for uid in SOP_CLASSES
        if not pydicom_uids.UID(uid).name.endswith(("Storage", "(Retired)", "Presentation", "Processing"))
    ] == []
