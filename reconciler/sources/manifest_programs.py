"""What a server of a manifest runs, what is wrong with that, and the files that it is given."""

from collections.abc import Iterator
from typing import Final

from reconciler.core.archive import LARGEST_ARCHIVE_BYTES, folder_digest, packed, packed_text
from reconciler.core.problems import Problem
from reconciler.core.programs import FolderProgram, GitProgram, ImageProgram, PlacedFile
from reconciler.core.serving import DEFAULT_PATH, TransportType
from reconciler.core.types import PackageReference, Program, Registry
from reconciler.sources.folders import folder_path, in_folder
from reconciler.sources.manifest_remotes import remote_problems, remote_program
from reconciler.sources.manifest_servers import ReadServer, environment_of
from schemas.v1.terms import package_parts

NODE_PROJECT: Final = frozenset({"package.json"})
PYTHON_PROJECT: Final = frozenset({"pyproject.toml", "setup.py", "requirements.txt"})
RESERVED_PREFIX: Final = "CATWALK_"
"""Variables of this name are the adapter's own."""
_NOT_FOR_IMAGES: Final = ("entrypoint", "resolve_as_of", "sessions")


def program_of(server: ReadServer) -> Program:
    """What a server without problems runs."""
    written = server.written
    if written.git is not None:
        return GitProgram(
            url=written.git.url,
            commit=written.git.commit,
            runtime=written.git.runtime or "",
            directory=_relative(written.git.directory),
        )
    if written.directory:
        return _folder_program(server)
    if written.image:
        return ImageProgram(reference=written.image)
    if written.remote is not None:
        return remote_program(written.remote)
    parts = package_parts(written.package)
    return PackageReference(registry=Registry(parts.registry), name=parts.name, version=parts.version)


def _folder_program(server: ReadServer) -> FolderProgram:
    path = folder_path(server.document.file, server.written.directory)
    files = in_folder(path, server.files)
    return FolderProgram(path=path, digest=folder_digest(files), archive=packed_text(files))


def _relative(directory: str) -> str:
    return directory.removeprefix("./").rstrip("/")


def placed_files(server: ReadServer) -> Iterator[PlacedFile]:
    """The files of a server without problems, sorted by path."""
    for path, file in sorted(server.written.files.items()):
        yield PlacedFile(path=path, mode=int(file.mode, 8), content=file.content, secret=file.secret)


def program_problems(server: ReadServer) -> Iterator[Problem]:
    """What is wrong with the source, the command and the files of a server whose fields are each well formed."""
    yield from _command_problems(server)
    yield from _file_problems(server)
    yield from _reserved_problems(server)
    if server.written.directory:
        yield from _folder_problems(server)
    if server.written.image:
        yield from _image_problems(server)
    if server.written.remote is not None:
        yield from remote_problems(server, server.written.remote)


def _command_problems(server: ReadServer) -> Iterator[Problem]:
    if server.written.command and server.written.entrypoint:
        message = "`command` replaces the executable that `entrypoint` chooses"
        place = server.document.place((*server.path, "entrypoint"))
        yield server.problem("command-and-entrypoint", message, "keep one of the two", place)


def _file_problems(server: ReadServer) -> Iterator[Problem]:
    for path, file in server.written.files.items():
        place = server.document.place((*server.path, "files", path, "secret"))
        if file.secret and file.secret not in server.written.secrets:
            message = f"the file `{path}` is made of the secret `{file.secret}`, which the server does not declare"
            yield server.problem("undeclared-secret", message, f"add `{file.secret}:` to its `secrets`", place)


def _reserved_problems(server: ReadServer) -> Iterator[Problem]:
    variables = [("env", name) for name in environment_of(server)]
    for part, name in (*variables, *(("secrets", name) for name in server.written.secrets)):
        if name.startswith(RESERVED_PREFIX):
            message = f"variables that begin with `{RESERVED_PREFIX}` are Catwalk's own inside a machine"
            yield server.problem("reserved-variable", message, "choose another name", server.key_place(part, name))


def _folder_problems(server: ReadServer) -> Iterator[Problem]:
    path = folder_path(server.document.file, server.written.directory)
    place = server.document.place((*server.path, "directory"))
    files = in_folder(path, server.files)
    if not files:
        message = f"there is no folder `{path}` at this revision"
        yield server.problem("directory-not-found", message, "commit it, or correct the path", place)
    elif not server.written.command and not files.keys() & (NODE_PROJECT | PYTHON_PROJECT):
        message = f"`{path}` holds neither `package.json` nor `pyproject.toml`"
        yield server.problem("no-project", message, "add one that names the executable, or say `command`", place)
    elif (size := len(packed(files))) > LARGEST_ARCHIVE_BYTES:
        message = f"`{path}` has {size} bytes when packed; at most {LARGEST_ARCHIVE_BYTES} travel with a machine"
        hint = "remove what the server does not need, or publish it as a package or in a repository of its own"
        yield server.problem("directory-too-large", message, hint, place)


def _image_problems(server: ReadServer) -> Iterator[Problem]:
    transport = server.written.transport
    if transport.type == TransportType.STDIO.value:
        message = "an image serves MCP over HTTP by itself, and its `transport` does not say where"
        hint = "add `transport: {type: streamable-http, port: PORT}`"
        yield server.problem("image-transport", message, hint, server.document.place((*server.path, "image")))
    elif transport.path != DEFAULT_PATH:
        message = f"an image is reached at `{DEFAULT_PATH}`, not at `{transport.path}`"
        hint = "have it serve there, or run its package, whose `transport.path` may be any"
        yield server.problem("image-transport", message, hint, server.place("transport", "path"))
    for key in _NOT_FOR_IMAGES:
        if key in server.written.model_fields_set:
            message = f"`{key}` says nothing about an image"
            place = server.document.key_place((*server.path, key))
            yield server.problem("not-for-images", message, "remove it", place)
    for path in server.written.files:
        if path.startswith("~"):
            message = f"the home folder of an image is not known, so that `{path}` is no place in it"
            place = server.document.key_place((*server.path, "files", path))
            yield server.problem("not-for-images", message, "write the absolute path", place)
