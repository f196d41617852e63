"""Hosts of their own on this machine: a name, process ids, a disk and a clock, by namespaces."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMESPACES = ("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
BEGIN = """
hostname "$0" && mount -t tmpfs tmpfs /dev/shm || exit
if [ "$1" ]; then mount -t tmpfs -o size=16k tmpfs "$1" || exit; fi
shift && exec "$@"
"""  # faketime keeps a file for each process id in /dev/shm


def host(name: str, *, full: Path | None = None, clock: str = "") -> list[str]:
    """Return the begin of a command that runs the rest of it on a host with this name.

    full: a folder on a disk of 16 kilobytes. clock: how far the host's clock is off ("+400s").
    The test is skipped where that cannot be had.
    """
    command = [*NAMESPACES, "sh", "-c", BEGIN, name, str(full or "")]
    if clock:
        if shutil.which("faketime") is None:
            pytest.skip("no faketime: apt install faketime")
        command += ["faketime", "--exclude-monotonic", "-f", clock]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces: {getattr(error, 'stderr', error)}")
    return command
