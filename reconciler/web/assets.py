"""The style sheet, the script and the icon, read once and served from memory.

Their addresses carry a digest of their content, so browsers may keep them for good and still see a new release at once.
"""

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from litestar import Response, get
from litestar.params import FromPath

from reconciler.web.errors import NotKnown

MEDIA_TYPES: Final = {
    "catwalk.css": "text/css",
    "catwalk.js": "text/javascript",
    "catwalk.svg": "image/svg+xml",
}
"""The whole set: a request can name nothing else."""

FOR_GOOD: Final = "public, max-age=31536000, immutable"


@cache
def _content(name: str) -> bytes:
    return resources.files("reconciler.web").joinpath("assets", name).read_bytes()


@cache
def asset_url(name: str) -> str:
    """The path of an asset, with its version."""
    return f"/assets/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}"


@get("/assets/{name:str}", include_in_schema=False)
async def asset(name: FromPath[str]) -> Response[bytes]:
    """One asset."""
    if name not in MEDIA_TYPES:
        raise NotKnown("file", name)
    headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
    return Response(_content(name), media_type=MEDIA_TYPES[name], headers=headers)
