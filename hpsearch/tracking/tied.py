"""Run a command that ends when whoever started it has ended, also if that was killed.

python tied.py COMMAND …

Standard input is a pipe that the starter holds open and never writes to. The kernel closes it when
the starter dies, however that happens. This file imports nothing of hpsearch: it is run by itself,
so that it stays small while the command runs.
"""

import os
import signal
import subprocess
import sys
import threading

SECONDS = 5  # that the command and its own processes get to end


def main() -> None:
    """Run the command in sys.argv, and end its process group when standard input is closed."""
    # A signal to the group is for the command; this process ends when the command has.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_starter, args=[command], daemon=True).start()
    os._exit(command.wait() % 256)  # the thread still reads


def _end_with_starter(command: subprocess.Popen[bytes]) -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)
    try:
        command.wait(SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
