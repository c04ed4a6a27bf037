"""The row that tells of a session's change: the catalog service writes such rows too, so it is in `libs.common`."""

from libs.common.outbox import Change, Origin, Site, all_resources, write_change

__all__ = ["Change", "Origin", "Site", "all_resources", "write_change"]
