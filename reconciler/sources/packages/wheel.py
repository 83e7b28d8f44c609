"""What stands inside a wheel, read from its end by range requests instead of downloading it.

A wheel is a zip file whose directory stands at the end (PKWARE APPNOTE 4.3), and installers write `*.dist-info` last
(binary distribution format, "recommended archiver features"), so that some kilobytes hold the console scripts and the
description. An index that does not know ranges is not asked for large files: then nothing is known, and the machine
finds out.
"""

import configparser
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from http import HTTPStatus
from typing import Final, cast

import httpx

from reconciler.core.digests import JSON
from reconciler.errors import Unavailable
from reconciler.sources.packages.cache import FOREVER, FRESH_FOR
from reconciler.sources.packages.fetch import Page, Request
from reconciler.sources.packages.session import Session

TAILS: Final = (32 * 1024, 1024 * 1024)
"""Bytes from the end that are asked for, the second only where the first do not hold what is wanted."""
LARGEST_WHOLE_WHEEL: Final = 8 * 1024 * 1024
"""Bytes that are read where an index answers with the whole file instead of a part."""
LARGEST_MEMBER: Final = 1024 * 1024
"""Bytes of one file inside, unpacked: a description with pictures in it may be long, a bomb is longer."""
_MARK: Final = "mcp-name:"
"""How a description states the server's name in the official registry (its publishing guide, "PyPI packages")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """What a wheel says about the package; `scripts` None where it could not be read."""

    scripts: Mapping[str, str] | None = None
    registry_name: str = ""
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    """Project URLs by their label in lower case."""

    def json(self) -> JSON:
        return {"scripts": self.scripts, "registry_name": self.registry_name, "links": self.links}


class _OutsideError(OSError):
    """The part of the file that is here does not hold what is looked for."""


class _Tail(io.RawIOBase):
    """A file of which only the end is here."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._data = data
        self._size = size
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - (self._size - len(self._data))
        if start < 0:
            raise _OutsideError
        piece = self._data[start : start + size] if size >= 0 else self._data[start:]
        self._at += len(piece)
        return piece


async def kept_wheel_facts(session: Session, name: str, url: str, auth: httpx.Auth | None) -> WheelFacts:
    """The facts of the wheel at `url`, from the cache where they are there under `name`, its digest or address.

    A wheel that cannot be read now leaves its facts unknown; that is noted in the session and no failure.
    """
    kept = session.kept(("wheel", name))
    if kept is not None:
        return _from_json(cast("Mapping[str, JSON]", kept))
    try:
        found = await wheel_facts(session, url, auth)
    except Unavailable as error:
        session.note(url, error.problem)
        return WheelFacts()
    session.keep(("wheel", name), found.json(), FOREVER if name.startswith("sha256:") else FRESH_FOR)
    return found


def _from_json(value: Mapping[str, JSON]) -> WheelFacts:
    return WheelFacts(
        scripts=cast("Mapping[str, str] | None", value["scripts"]),
        registry_name=str(value["registry_name"]),
        links=cast("Mapping[str, str]", value["links"]),
    )


async def wheel_facts(session: Session, url: str, auth: httpx.Auth | None) -> WheelFacts:
    """The facts of the wheel at `url`; empty where the index does not let them be read cheaply.

    Raises:
        Unavailable: the index does not answer.
    """
    for length in TAILS:
        request = Request(url=url, headers={"Range": f"bytes=-{length}"}, most_bytes=LARGEST_WHOLE_WHEEL, auth=auth)
        page = await session.page(request)
        if page is None:
            return WheelFacts()
        try:
            return read_wheel(_Tail(page.body, _size(page)))
        except _OutsideError:
            continue
        except (zipfile.BadZipFile, ValueError, NotImplementedError, configparser.Error) as error:
            raise Unavailable(
                "registry-unavailable", f"the index at {httpx.URL(url).host} serves a broken wheel"
            ) from error
    return WheelFacts()


def _size(page: Page) -> int:
    """The size of the whole file: of `Content-Range: bytes A-B/SIZE` (RFC 9110, 14.4), or of what came."""
    total = page.headers.get("content-range", "").rpartition("/")[2]
    return int(total) if page.status == HTTPStatus.PARTIAL_CONTENT and total.isdigit() else len(page.body)


def read_wheel(file: io.RawIOBase) -> WheelFacts:
    """The facts of a wheel.

    Raises:
        OSError: the part that is here does not hold them.
        zipfile.BadZipFile, configparser.Error, ValueError: it is no wheel.
    """
    with zipfile.ZipFile(file) as archive:
        scripts = _member(archive, ".dist-info/entry_points.txt")
        metadata = _member(archive, ".dist-info/METADATA")
    headers = HeaderParser().parsestr(metadata)
    described = metadata.partition("\n\n")[2] or str(headers.get("Description", ""))
    pairs = (str(value).partition(",") for value in headers.get_all("Project-URL", []))
    return WheelFacts(
        scripts=_console_scripts(scripts),
        registry_name=_registry_name(described),
        links={label.strip().lower(): address.strip() for label, _, address in pairs},
    )


def _member(archive: zipfile.ZipFile, ending: str) -> str:
    found = [info for info in archive.infolist() if info.filename.endswith(ending) and info.filename.count("/") == 1]
    if not found:
        return ""
    with archive.open(found[0]) as member:
        return member.read(LARGEST_MEMBER).decode("utf-8", "replace")


def _console_scripts(text: str) -> Mapping[str, str]:
    """Name to `module:function` (entry points specification)."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # Names of scripts keep their case.
    parser.read_string(text)
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}


def _registry_name(description: str) -> str:
    at = description.find(_MARK)
    words = description[at + len(_MARK) :].split(maxsplit=1) if at >= 0 else []
    return words[0].rstrip("->`") if words and "/" in words[0] else ""
