"""The import handlers there are. A new one is a module beside this one and a name in `IMPORTERS`."""

from collections.abc import Mapping

from libs.common.importers import dicom_zip, gradual_dicom, session_importer, xar
from libs.common.importers.importer import Entries, Importer, Names, Reads, Takes

_MODULES = (session_importer, gradual_dicom, dicom_zip, xar)
IMPORTERS: Mapping[str, Importer] = {module.IMPORTER.name: module.IMPORTER for module in _MODULES}
"""By the name that `import-handler` gives, which is compared with its case."""

__all__ = ["IMPORTERS", "Entries", "Importer", "Names", "Reads", "Takes"]
