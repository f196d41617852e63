"""Lengths of time as options: 90, 90s, 15m, 2h."""

from __future__ import annotations

import re

import click

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
        if not seconds:
            self.fail(f"{value!r} is no length of time; use 90, 90s, 15m or 2h", param, ctx)
        return seconds


DURATION = _Duration()
