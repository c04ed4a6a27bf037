"""The import handlers there are. A new one is a module beside this one and a name in `IMPORTERS`."""

from collections.abc import Mapping

from libs.common.importers import session_importer
from libs.common.importers.importer import Entries, Importer, Reads, Takes

IMPORTERS: Mapping[str, Importer] = {importer.name: importer for importer in (session_importer.IMPORTER,)}
"""By the name that `import-handler` gives, which is compared with its case."""

__all__ = ["IMPORTERS", "Entries", "Importer", "Reads", "Takes"]
