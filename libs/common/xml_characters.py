"""The characters that XML 1.0 §2.2 forbids, which header values and labels may hold all the same (pure)."""

import re

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
