"""From the options of a machine to the command that it runs and the environment of that command."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from gateway.adapter.child import Launch
from gateway.adapter.install import Program, install_package, install_project
from gateway.adapter.install.progress import Progress
from gateway.adapter.install.project import ProjectOrder
from gateway.adapter.log import AdapterLog
from gateway.adapter.options import Options
from gateway.adapter.placed_files import SECRET_PREFIX, in_machine, place_files
from gateway.adapter.projects import ArchiveProject, Project

_OWN_INTERPRETER = frozenset({"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that describe the adapter's own Python: a server with another one would import the wrong modules."""
_INSTALLER_CREDENTIAL = re.compile(
    r"(?:UV|PIP|NPM_CONFIG)_\w*(?:TOKEN|PASSWORD|USERNAME|AUTH|INDEX|REGISTRY)\w*", re.IGNORECASE
)
"""Settings of installers that hold credentials or addresses with credentials in them: a server has no use for them."""


async def prepare_launch(options: Options, log: AdapterLog, tell: Callable[[str], None] = lambda _: None) -> Launch:
    """Install the package where one is named; return what to run. Raises AdapterFailure.

    `tell` hears how far that is, without credentials.
    """
    if options.workdir is not None:
        options.workdir.mkdir(parents=True, exist_ok=True)
    placement = await anyio.to_thread.run_sync(place_files, options.files, options.workdir)
    program = await _program(options, log, Progress(lambda line: tell(log.mask(line))))
    launch = _launch(options, (*program.command, *options.arguments), program)
    told = {key: placement(value) for key, value in launch.environment.items()}
    return replace(launch, command=[placement(word) for word in launch.command], environment=told)


async def _program(options: Options, log: AdapterLog, progress: Progress) -> Program:
    if options.project is not None:
        return await install_project(options, _order(options, options.project), log, progress)
    if options.package is not None:
        return await install_package(options, options.package, log, progress)
    return Program(command=options.command, path=())


def _order(options: Options, project: Project) -> ProjectOrder:
    if isinstance(project, ArchiveProject):
        here, _ = in_machine(str(project.path), options.workdir)
        project = ArchiveProject(path=here)
    home = options.workdir or Path.home()
    return ProjectOrder(project=project, runtime=options.runtime, directory=options.directory, home=home.absolute())


def _launch(options: Options, command: Sequence[str], program: Program) -> Launch:
    environment = {key: value for key, value in os.environ.items() if _is_for_the_server(key)}
    environment["PATH"] = os.pathsep.join([*map(str, program.path), environment.get("PATH", os.defpath)])
    if options.workdir is not None:
        environment["HOME"] = str(options.workdir)
    return Launch(
        command=command,
        environment=environment,
        workdir=program.folder or options.workdir,
        max_message_bytes=options.max_message_bytes,
    )


def _is_for_the_server(name: str) -> bool:
    if name in _OWN_INTERPRETER or name.startswith(SECRET_PREFIX):
        return False
    return _INSTALLER_CREDENTIAL.fullmatch(name) is None
