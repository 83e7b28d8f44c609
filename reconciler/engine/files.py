"""The files and volumes that a configuration puts into a machine.

The machine's directory stands for its root: `/etc/app.json` is `etc/app.json` in the directory that the command starts
in. Contents come from the configuration or from an app secret, base64 in both (OpenAPI document, `fly.File`).
"""

import base64
import binascii
from collections.abc import Iterator

from reconciler.engine.config import File
from reconciler.engine.records import App, Machine
from reconciler.engine.runtime import PlacedFile, PlacedVolume
from reconciler.errors import EnvironmentFault

DEFAULT_MODE = 0o644


def files_of(machine: Machine, app: App) -> tuple[PlacedFile, ...]:
    """Raises: EnvironmentFault: a secret that a file is made of does not exist or is no base64."""
    return tuple(_placed(machine, app))


def volumes_of(machine: Machine) -> tuple[PlacedVolume, ...]:
    return tuple(
        PlacedVolume(path=mount.path.lstrip("/"), volume_id=mount.volume) for mount in machine.config.mounts or ()
    )


def _placed(machine: Machine, app: App) -> Iterator[PlacedFile]:
    for file in machine.config.files or ():
        yield PlacedFile(
            path=file.guest_path.lstrip("/"),
            content=_content(file, app),
            mode=DEFAULT_MODE if file.mode is None else file.mode,
        )


def _content(file: File, app: App) -> bytes:
    if file.secret_name is None:
        return base64.b64decode(file.raw_value or "")
    secret = app.secrets.get(file.secret_name)
    if secret is None:
        raise EnvironmentFault("file-secret", f"{file.guest_path}: the app has no secret {file.secret_name}")
    try:
        return base64.b64decode(secret.value, validate=True)
    except binascii.Error:
        # Without its cause: that may quote the value.
        raise EnvironmentFault("file-secret", f"{file.guest_path}: {file.secret_name} is no base64") from None
