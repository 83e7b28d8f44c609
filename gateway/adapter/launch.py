"""From the options of a machine to the command that it runs and the environment of that command."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from gateway.adapter.child import Launch
from gateway.adapter.install import install_package
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options

_OWN_INTERPRETER = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that describe the adapter's own Python: a server with another one would import the wrong modules."""
_INSTALLER_CREDENTIAL = re.compile(
    r"(?:UV|PIP|NPM_CONFIG)_\w*(?:TOKEN|PASSWORD|USERNAME|AUTH|INDEX|REGISTRY)\w*", re.IGNORECASE
)
"""Settings of installers that hold credentials or addresses with credentials in them: a server has no use for them."""


async def prepare_launch(options: Options, log: AdapterLog) -> Launch:
    """Install the package where one is named; return what to run. Raises AdapterFailure."""
    if options.workdir is not None:
        options.workdir.mkdir(parents=True, exist_ok=True)
    if options.package is None:
        return _launch(options, options.command, ())
    program = await install_package(options, options.package, log)
    return _launch(options, (*program.command, *options.arguments), program.path)


def _launch(options: Options, command: Sequence[str], path: Sequence[Path]) -> Launch:
    environment = {key: value for key, value in os.environ.items() if _is_for_the_server(key)}
    environment["PATH"] = os.pathsep.join([*map(str, path), environment.get("PATH", os.defpath)])
    if options.workdir is not None:
        environment["HOME"] = str(options.workdir)
    return Launch(
        command=command,
        environment=environment,
        workdir=options.workdir,
        max_message_bytes=options.max_message_bytes,
    )


def _is_for_the_server(name: str) -> bool:
    return name not in _OWN_INTERPRETER and _INSTALLER_CREDENTIAL.fullmatch(name) is None
