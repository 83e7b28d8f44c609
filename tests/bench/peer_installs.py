"""The peers that `peers.py` compares with: what they are, pinned, and how each is installed and started.

They live in a cache of their own (`~/.cache/catwalk-bench`), a Python environment or npm folder each, and never in the
project's environment. Registries and credentials are those that uv and npm are configured with.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catwalk-bench"
SERVER_WORDS = "-m tests.bench.echo_server"
PASSWORD = "Bench-pass-0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program. `command` gets its folder, its port, and either the server's command or the upstream's URL."""

    name: str
    package: str
    version: str
    command: Callable[[Path, int, str], Sequence[str]]
    python: str | None = None
    """The Python that it wants; None for a package of npm."""
    path: str = "/mcp"
    environment: dict[str, str] = field(default_factory=dict[str, str])
    is_gateway: bool = False

    @property
    def folder(self) -> Path:
        return CACHE / f"{'npm' if self.python is None else 'pypi'}-{self.package.partition('[')[0]}-{self.version}"

    def install(self) -> str:
        """Why it cannot be installed; empty where it is."""
        if (self.folder / ".installed").exists():
            return ""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for command in self._commands():
            try:
                # In the peer's own folder: uv would hold it to the constraints of the project it is started in.
                finished = subprocess.run(
                    command, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False
                )
            except subprocess.TimeoutExpired:
                return "the installation did not end within 600 s"
            if finished.returncode:
                return " ".join(finished.stderr.partition("cause:")[2].split() or finished.stderr.split())[:160]
        (self.folder / ".installed").touch()
        return ""

    def _commands(self) -> list[list[str]]:
        if self.python is None:
            quiet = ["--no-audit", "--no-fund", "--ignore-scripts"]
            return [["npm", "install", "--prefix", str(self.folder), *quiet, f"{self.package}@{self.version}"]]
        interpreter = str(self.folder / "bin" / "python")
        return [
            ["uv", "venv", "--clear", "--python", self.python, str(self.folder)],
            ["uv", "pip", "install", "--python", interpreter, f"{self.package}=={self.version}"],
        ]


def _npm(folder: Path, name: str) -> list[str]:
    return ["node", str(folder / "node_modules" / ".bin" / name)]


def _npm_proxy(folder: Path, port: int, server: str) -> Sequence[str]:
    return [*_npm(folder, "mcp-proxy"), "--host", "127.0.0.1", "--port", str(port), "--", *server.split()]


def _python_proxy(folder: Path, port: int, server: str) -> Sequence[str]:
    words = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR", "--pass-environment"]
    return [str(folder / "bin" / "mcp-proxy"), *words, "--", *server.split()]


def _supergateway(folder: Path, port: int, server: str) -> Sequence[str]:
    words = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none", "--port", str(port)]
    return [*_npm(folder, "supergateway"), "--stdio", server, *words]


def _fastmcp(folder: Path, port: int, upstream: str) -> Sequence[str]:
    program = (
        "from fastmcp.server import create_proxy; "
        f"create_proxy({upstream!r}).run(transport='http', host='127.0.0.1', port={port}, show_banner=False, "
        "uvicorn_config={'log_level': 'error'})"
    )
    return [str(folder / "bin" / "python"), "-c", program]


def _contextforge(folder: Path, port: int, _upstream: str) -> Sequence[str]:
    return [str(folder / "bin" / "mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]


def _litellm(folder: Path, port: int, upstream: str) -> Sequence[str]:
    settings = {
        "mcp_servers": {"echo": {"url": upstream, "transport": "http", "allow_all_keys": True}},
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
    }
    configuration = folder / f"bench-{port}.yaml"
    configuration.write_text(json.dumps(settings), encoding="utf-8")
    return [str(folder / "bin" / "litellm"), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]


CONTEXTFORGE = {
    "AUTH_REQUIRED": "false",
    "ALLOW_UNAUTHENTICATED_ADMIN": "true",
    "MCP_REQUIRE_AUTH": "false",
    "MCPGATEWAY_UI_ENABLED": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "JWT_SECRET_KEY": "bench-0123456789abcdef0123456789abcdef",
    "AUTH_ENCRYPTION_SECRET": "bench-abcdef0123456789abcdef0123456789",
    "PLATFORM_ADMIN_EMAIL": "admin@example.com",
    "PLATFORM_ADMIN_PASSWORD": PASSWORD,
    "DEFAULT_USER_PASSWORD": PASSWORD,
    "USE_STATEFUL_SESSIONS": "true",
    "CACHE_TYPE": "memory",
    "PLUGINS_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
    "LOG_LEVEL": "CRITICAL",
}

PEERS = (
    Peer(name="npm mcp-proxy", package="mcp-proxy", version="6.7.19", command=_npm_proxy),
    Peer(name="PyPI mcp-proxy", package="mcp-proxy", version="0.13.0", command=_python_proxy, python="3.11"),
    Peer(name="supergateway, stateful", package="supergateway", version="4.0.0", command=_supergateway),
    Peer(
        name="ContextForge, stateful",
        package="mcp-contextforge-gateway",
        version="1.1.0",
        command=_contextforge,
        python="3.12",
        environment=CONTEXTFORGE,
        is_gateway=True,
    ),
    Peer(name="fastmcp proxy", package="fastmcp", version="4.1.6", command=_fastmcp, python="3.11", is_gateway=True),
    Peer(
        name="litellm",
        package="litellm[proxy]",
        version="1.108.7",
        command=_litellm,
        python="3.11",
        path="/echo/mcp",
        is_gateway=True,
    ),
)
"""Everything that is compared, with its exact version; what these need is resolved on the day of the run."""
