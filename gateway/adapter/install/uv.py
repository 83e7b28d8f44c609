"""The uv program: which one is used, and the package indexes that it is configured with.

uv is asked rather than its configuration read, so environment variables, uv.toml and its built-in default all count as
they do for uv.
"""

import shutil
import sys
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.context import InstallContext, failure_of


def find_uv() -> str:
    """The uv on PATH, else the one beside this interpreter. Raises AdapterFailure."""
    beside = Path(sys.executable).parent / "uv"
    found = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if found is None:
        raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, "uv is neither on PATH nor beside the adapter's Python")
    return found


async def index_urls(context: InstallContext) -> list[str]:
    """The simple-index URLs that uv uses, in the order in which it asks them. Raises AdapterFailure."""
    command = [find_uv(), "pip", "compile", "--no-header", "--emit-index-url", "--quiet", "/dev/null"]
    finished = await context.query(command)
    if finished.status != 0:
        raise failure_of(finished, "uv cannot say which package index it uses", Cause.RUNTIME_UNAVAILABLE)
    words = [line.split() for line in finished.output.splitlines()]
    extra = [each[1] for each in words if len(each) == 2 and each[0] == "--extra-index-url"]
    main = [each[1] for each in words if len(each) == 2 and each[0] in {"--index-url", "-i"}]
    return [*extra, *main]
