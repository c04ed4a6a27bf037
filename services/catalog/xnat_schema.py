"""Tables from XNAT's schema (xnat.xsd; import semantics §6.4): names of roots, order of children (pure)."""

SESSION = (
    # experimentData
    *("sharing", "date", "time", "duration", "delay", "note", "investigator", "validation", "resources", "fields"),
    *("acquisition_site", "custom_fields"),
    # subjectAssessorData
    *("subject_ID", "age"),
    # imageSessionData
    *("regions", "scanner", "operator", "prearchivePath", "scans", "reconstructions", "assessors"),
    *("dcmAccessionNumber", "dcmPatientId", "dcmPatientName", "dcmPatientBirthDate", "dcmPatientWeight"),
)
"""Children of every image session, in order."""

_MR = ("coil", "fieldStrength", "marker", "stabilization")
_PET = (
    *("stabilization", "studyType", "patientID", "patientName", "tracer", "start_time", "start_time_scan"),
    *("start_time_injection", "blood_glucose", "blood_glucose_units", "blood_glucose_time"),
)
SESSION_EXTENSIONS = {
    "xnat:mrSessionData": _MR,
    "xnat:petSessionData": _PET,
    "xnat:petmrSessionData": ("coil", "fieldStrength", "marker", *_PET),
}
"""What a session type adds behind them."""

SESSION_TEXTS = frozenset(
    {
        *("date", "time", "duration", "delay", "note", "acquisition_site", "age", "scanner", "operator"),
        *("dcmAccessionNumber", "dcmPatientId", "dcmPatientName", "dcmPatientBirthDate", "dcmPatientWeight"),
        *_MR,
        *(name for name in _PET if name != "tracer"),
    }
)
"""Children of a session that hold text alone."""

SESSION_ATTRIBUTES = frozenset(
    {"visit_id", "visit", "protocol", "version", "original", "session_type", "modality", "study_id"}
)
"""A session's attributes that its sender may set; ID, UID, label and project are decided elsewhere."""

SESSION_PARTS = {
    "scanner": (),
    "investigator": ("title", "firstname", "lastname", "institution", "department", "email", "phone"),
    "validation": ("method", "date", "notes", "validated_by"),
    "tracer": (
        "name",
        "startTime",
        "dose",
        "specificActivity",
        "totalMass",
        "intermediate",
        "isotope",
        "transmissions",
    ),
}
"""Children with children, in order."""

PART_ATTRIBUTES = {
    "scanner": ("manufacturer", "model"),
    "investigator": ("ID",),
    "validation": ("status",),
    "tracer": (),
}
PART_CHILD_ATTRIBUTES = {"tracer": ("dose/units", "totalMass/units", "isotope/half-life", "transmissions/startTime")}
"""Attributes of those children, as `child/attribute`."""

SCAN = (
    *("sharing", "image_session_ID", "note", "quality", "condition", "series_description", "series_class"),
    *("documentation", "scanner", "modality", "frames", "operator", "file", "validation", "startTime", "start_date"),
    *("requestedProcedureDescription", "protocolName", "bodyPartExamined", "custom_fields", "contrasts"),
)
SCAN_TEXTS = frozenset({"condition", "series_class", "documentation", "operator"})
"""Children of a scan that hold text alone, and that no header gives."""
MR_SCAN_TEXTS = frozenset({"marker", "stabilization"})
MR_SCAN = (*_MR, "fileNameUUID", "parameters", "dcmValidation")
MR_PARAMETERS = (
    *("voxelRes", "orientation", "subjectPosition", "fov", "matrix", "partitions", "tr", "te", "deltaTE", "ti"),
    *("flip", "sequence", "origin", "imageType", "scanSequence", "seqVariant", "scanOptions", "acqType"),
    *("readoutSampleSpacing", "coil", "coilElements", "dtiAcqCount", "pixelBandwidth", "echoSpacing"),
    *("phaseEncodingDirection", "acqTime", "diffusion", "addParam", "inPlanePhaseEncoding", "pmc"),
)
MR_PARAMETER_TEXTS = frozenset(
    {
        *("subjectPosition", "partitions", "deltaTE", "origin", "readoutSampleSpacing", "coil", "coilElements"),
        *("dtiAcqCount", "echoSpacing", "phaseEncodingDirection", "acqTime", "pmc"),
    }
)
DIFFUSION = ("bValues", "bMax", "directionality", "orientations", "anisotropyType", "refocusFlipAngle")

OTHER = "xnat:otherDicomSessionData"


def root_name(xsi_type: str) -> str:
    """The element of a session type: `MRSession` for `xnat:mrSessionData` (import semantics §4.4)."""
    modality = (xsi_type or OTHER).partition(":")[2].removesuffix("SessionData")
    return ("OtherDicom" if modality == "otherDicom" else modality.upper()) + "Session"


def session_order(xsi_type: str) -> tuple[str, ...]:
    """The children of a session of this type, in order."""
    return (*SESSION, *SESSION_EXTENSIONS.get(xsi_type, ()))
