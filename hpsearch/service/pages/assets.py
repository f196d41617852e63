"""Style sheets and scripts: the pages' own, and plotly.js of the installed plotly.

Their addresses have a digest of what they hold, so that browsers may keep them for good.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response
from plotly.offline import get_plotlyjs, get_plotlyjs_version

FOLDER = Path(__file__).parent / "static"
MEDIA = {".css": "text/css", ".js": "text/javascript"}
PLOTLY = "plotly.js"
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


@dataclass(frozen=True)
class _Asset:
    content: bytes
    compressed: bytes
    media: str


@cache
def version() -> str:
    """Return the digest of all assets, which is a part of their addresses.

    Scripts import each other by name, so they share one.
    """
    digest = hashlib.sha256(get_plotlyjs_version().encode())
    for file in _files():
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def address(name: str) -> str:
    """Return the address of an asset."""
    return f"/static/{version()}/{name}"


def answer(name: str, request: Request) -> Response | None:
    """Return an asset, compressed if the browser takes that; None if there is none."""
    if name != PLOTLY and name not in {file.name for file in _files()}:
        return None
    asset = _read(name)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.content, media_type=asset.media, headers=FOR_GOOD)
    headers = {**FOR_GOOD, "Content-Encoding": "gzip"}
    return Response(asset.compressed, media_type=asset.media, headers=headers)


@cache
def _files() -> list[Path]:
    return sorted(file for file in FOLDER.iterdir() if file.suffix in MEDIA)


@cache
def _read(name: str) -> _Asset:
    content = get_plotlyjs().encode() if name == PLOTLY else (FOLDER / name).read_bytes()
    return _Asset(content, gzip.compress(content, 6), MEDIA[Path(name).suffix])
