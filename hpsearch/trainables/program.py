"""A program that trains, in any language: each line of JSON that it prints is an epoch.

It reads its configuration as JSON on stdin, with "seed" among the keys; `{key}` in its words
stands for a value. SIGTERM tells it to stop. When the worker is killed, its process group dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from hpsearch.errors import SettingsError
from hpsearch.trainables.errors import ModelError
from hpsearch.trainables.source import TRAIN, digest_of_files

GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL
LAST_LINES = 5  # of stderr, for a message
LONGEST_TAIL = 4096  # bytes of stderr that are looked at
# A shell that keeps a list of process groups, as a pipe tells it: "+ 12" and "- 12". When the
# worker at the other end of the pipe is gone, it kills them.
WATCHER = """
all=
while read -r sign group; do
    kept=
    for each in $all; do [ "$each" = "$group" ] || kept="$kept $each"; done
    all=$kept
    [ "$sign" = - ] || all="$all $group"
done
for each in $all; do kill -9 "-$each"; done
"""


def program_function(words: Sequence[str]) -> tuple[Callable[..., Iterator[Any]], str]:
    """Return a generator function that runs a program, and a digest of the files in its words.

    Raises SettingsError if there is no such program.
    """
    if shutil.which(words[0]) is None:
        raise SettingsError(f"{TRAIN}: there is no program '{words[0]}'")
    program = os.path.basename(words[0])

    def train(config: Mapping[str, Any], *, seed: int) -> Iterator[Any]:
        values = {"seed": seed, **config}
        with (
            tempfile.TemporaryFile() as errors,
            _started(_filled(words, values), errors) as process,
        ):
            _send(process, values)
            assert process.stdout is not None
            for line in process.stdout:
                yield _epoch(line, program)
            if code := process.wait():
                said = _tail(errors)
                how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
                raise ModelError(f"{program} ended with {how}{f': {said}' if said else ''}")

    return train, digest_of_files(Path(word) for word in words[1:])


def _filled(words: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the words with values in the places of their keys."""
    filled = []
    for word in words:
        for key, value in values.items():
            word = word.replace(f"{{{key}}}", str(value))
        filled.append(word)
    return filled


@contextlib.contextmanager
def _started(words: Sequence[str], errors: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a process group of its own, which ends with the block or this process."""
    watch = _watcher(os.getpid())
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
        preexec_fn=_unblock_signals,
    )
    watch(f"+ {process.pid}")
    try:
        yield process
    finally:
        _end(process)
        watch(f"- {process.pid}")
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@cache
def _watcher(pid: int) -> Callable[[str], None]:  # noqa: ARG001 - a forked process has its own
    """Start the watcher of this process; return a function that writes a line to it."""
    reading, writing = os.pipe()
    subprocess.Popen(
        ["sh", "-c", f"exec 3<&0; ( {WATCHER} ) <&3 &"],  # in the background: nobody waits for it
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_unblock_signals,
    ).wait()
    os.close(reading)

    def watch(line: str) -> None:
        os.write(writing, f"{line}\n".encode())

    return watch


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # those of a worker are blocked


def _send(process: subprocess.Popen[str], values: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it does not read its input
        process.stdin.write(json.dumps(values))
        process.stdin.close()


def _epoch(line: str, program: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelError(
            f"{program} printed {line.strip()[:60]!r}; on stdout it prints one line of JSON an "
            'epoch, such as {"val/loss": 0.3}, and everything else on stderr'
        )
    return found


def _tail(errors: IO[bytes]) -> str:
    """Return the last lines that a program wrote on stderr, as one line."""
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - LONGEST_TAIL))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-LAST_LINES:])


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the program to stop; after a while, kill its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None and number is signal.SIGTERM:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
