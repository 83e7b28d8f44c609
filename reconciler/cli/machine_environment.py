"""What the engine's machines may see of this computer's environment.

An allow-list, because the environment of a person holds tokens that no MCP server should see. What installers need to
reach their registries (proxies, certificates, the settings of npm, uv and pip) passes; the adapter keeps it from the
servers.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PASSED: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    r"|https?_proxy|all_proxy|no_proxy"
    r"|npm_config_\w+|uv_\w+|pip_\w+|xdg_\w+_home",
    re.IGNORECASE,
)


def machine_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that every machine starts from."""
    return {name: value for name, value in environment.items() if _PASSED.fullmatch(name)}


def package_cache(environment: Mapping[str, str]) -> Path:
    """Where installed packages are kept, shared by all fleets of this user."""
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".cache")
    return Path(base) / "catwalk"


def runner_command() -> tuple[str, ...]:
    """The engine's stand-in for the runner image: the same adapter, by this Python."""
    adapter = (sys.executable, "-m", "gateway.adapter", "--host", "127.0.0.1", "--port", "{port}")
    return (*adapter, "--workdir", "{workdir}", "--cache-dir", "{cache}")
