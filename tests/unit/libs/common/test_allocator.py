import sys

import pytest

from libs.common.allocator import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_the_c_library_takes_the_settings_twice() -> None:
    assert keep_freed_memory()
    assert keep_freed_memory()
