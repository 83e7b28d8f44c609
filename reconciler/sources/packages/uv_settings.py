"""Which package indexes PyPI packages come from, and with which credentials: what uv itself is configured with.

uv is asked rather than its files read, so that environment, `uv.toml` and its own default count as they do for uv in
the machine, and no address of a registry stands in this program.
"""

import netrc
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio.to_thread
import httpx
from uv import find_uv_bin

from reconciler.errors import Unavailable

TIMEOUT_S: Final = 20.0


async def read_indexes(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The index addresses of uv, first the extra ones, as uv asks them.

    Raises:
        Unavailable: uv does not answer.
    """
    return await anyio.to_thread.run_sync(_ask_uv, dict(environment))


def _ask_uv(environment: dict[str, str]) -> tuple[str, ...]:
    command = [find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--emit-index-url", "-"]
    try:
        finished = subprocess.run(
            command,
            input="",
            # A project above the working directory may configure another index for itself; it is not meant here.
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("registry-unavailable", "uv does not say which package index it uses") from error
    words = [line.split() for line in finished.stdout.splitlines()]
    extra = [word[1] for word in words if len(word) == 2 and word[0] == "--extra-index-url"]
    main = [word[1] for word in words if len(word) == 2 and word[0] in {"--index-url", "-i"}]
    return (*extra, *main)


def netrc_auth(environment: Mapping[str, str]) -> httpx.Auth | None:
    """The credentials of the user's netrc file, by host, as uv and pip read them; None where there is no such file."""
    file = Path(environment.get("NETRC") or Path(environment.get("HOME", "/")) / ".netrc")
    try:
        return httpx.NetRCAuth(str(file)) if file.is_file() else None
    except (OSError, netrc.NetrcParseError):
        return None  # uv goes on without it as well.
