"""One line for each member."""

import json

from libs.common.reports import MemberLine, render_lines

STORED = MemberLine(0, "a/山田 1.dcm", "stored", "", "XNAT_E00001", "1.2.3", "ab" * 16, 10, "0001.dcm")
OPEN = MemberLine(1, "b\n.dcm", None, "", "", "", "", 5, "")


def test_each_member_is_one_line() -> None:
    lines = render_lines([STORED, OPEN]).decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line)["path"] for line in lines] == [STORED.path, OPEN.path]
    assert json.loads(lines[0]) == {
        "ordinal": 0,
        "path": "a/山田 1.dcm",
        "verdict": "stored",
        "reason": "",
        "session_id": "XNAT_E00001",
        "sop_instance_uid": "1.2.3",
        "md5": "ab" * 16,
        "size_bytes": 10,
        "name": "0001.dcm",
    }


def test_a_member_that_nobody_judged_is_unsettled() -> None:
    assert json.loads(render_lines([OPEN]))["verdict"] == "unsettled"
