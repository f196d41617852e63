"""What a benchmark ran on."""

import os
import platform
import re
from pathlib import Path


def processor() -> str:
    """Return the name of the processor, and how many cores there are."""
    known = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", known.read_text() if known.is_file() else "", re.M)
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
