"""The note of an MLflow experiment: a section for each study that shares the experiment."""

from __future__ import annotations

import re

NOTE_LENGTH = 20_000  # the longest tag that MLflow takes for an experiment
_MARK = re.compile(r"^<!-- study (\S+) -->\n", re.MULTILINE)


def with_section(note: str, study_id: str, text: str) -> str:
    """Return `note` with `text` as the section of a study; an empty text removes the section.

    Two people can give their studies the same name on one tracking server, and so the same
    experiment. What stands before the first section is of version 0.1, and is left out.
    """
    _, *parts = _MARK.split(note)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    sections[study_id] = text
    lines = (f"<!-- study {key} -->\n{section}" for key, section in sections.items() if section)
    return "".join(lines)[:NOTE_LENGTH]
