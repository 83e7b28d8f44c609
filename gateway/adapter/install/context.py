"""What every installation step needs to know, and how one is run and its failures told apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.adapter.causes import AdapterFailure, Cause
from gateway.adapter.install.process import Finished, InstallerTimeout, run_installer
from gateway.adapter.install.progress import Progress
from gateway.adapter.log import AdapterLog

QUERY_TIMEOUT_S = 90.0
INSTALL_TIMEOUT_S = 900.0
_UNREACHABLE = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|ERR_SOCKET_TIMEOUT|E50[0-9]\b|E401\b|E403\b"
    r"|Failed to fetch|error sending request|dns error|Could not connect|Connection refused|timed out",
)
_NOISE = re.compile(
    r"^npm (?:error|ERR!|verbose|warn)\b.*(?:complete log|_logs)|^npm (?:error|ERR!)\s*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallContext:
    """Where packages are kept, as of when dependencies are resolved, where output goes.

    `needs_executable` is false where a command of the manifest runs instead of an executable of the package.
    """

    cache: Path
    resolve_as_of: str
    log: AdapterLog
    needs_executable: bool = True
    integrity: Sequence[str] = ()
    """Digests of the package's own file, one of which it must have; empty where nothing is locked."""
    progress: Progress = field(default_factory=lambda: Progress(lambda _: None))

    async def query(self, command: Sequence[str], *, path: Sequence[Path] = ()) -> Finished:
        """Run a short command whose output is data. Raises AdapterFailure when it cannot run or does not end."""
        return await self._run(command, QUERY_TIMEOUT_S, path, quiet=True)

    async def install(self, command: Sequence[str], *, path: Sequence[Path] = ()) -> Finished:
        """Run a long command whose output is progress. Raises AdapterFailure when it cannot run or does not end."""
        self.log.event("installer", command=" ".join(map(str, command)))
        return await self._run(command, INSTALL_TIMEOUT_S, path, quiet=False)

    async def _run(self, command: Sequence[str], timeout_s: float, path: Sequence[Path], *, quiet: bool) -> Finished:
        try:
            return await run_installer(command, timeout_s=timeout_s, log=self._heard, path=path, quiet_output=quiet)
        except InstallerTimeout as error:
            raise AdapterFailure(Cause.INSTALL_FAILED, str(error)) from error
        except OSError as error:
            raise AdapterFailure(Cause.RUNTIME_UNAVAILABLE, f"cannot run {command[0]}: {error.strerror}") from error

    def _heard(self, line: str) -> None:
        self.log.output(line)
        self.progress.heard(line)


def failure_of(finished: Finished, what: str, cause: Cause = Cause.INSTALL_FAILED) -> AdapterFailure:
    """The failure of an installer, with the line that explains it; an unreachable registry is a cause of its own."""
    lines = [line.strip() for line in finished.text.splitlines() if line.strip() and not _NOISE.search(line)]
    unreachable = next((line for line in lines if _UNREACHABLE.search(line)), None)
    if unreachable is not None:
        return AdapterFailure(Cause.REGISTRY_UNAVAILABLE, f"{what}: {unreachable[:400]}")
    return AdapterFailure(cause, f"{what}: {_telling(lines)[:600]}")


def _telling(lines: Sequence[str]) -> str:
    """Uv explains in the lines after `error:`; npm in the lines after its code."""
    for place, line in enumerate(lines):
        if line.lower().startswith(("error:", "cause:", "npm error", "npm err!")):
            return " ".join(lines[place : place + 3])
    return lines[-1] if lines else "the installer said nothing"
