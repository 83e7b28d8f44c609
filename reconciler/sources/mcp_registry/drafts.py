"""From an entry of the registry to an entry of a manifest, as far as it goes without asking anybody.

Pure. A draft is what is fixed, and questions for the rest. What Catwalk cannot run is refused with the reason: images
that speak through standard input, the deprecated SSE transport, other package types, and secrets on a command line,
where every process of the machine and every plan could read them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import SourceError
from reconciler.sources.mcp_registry.documents import (
    Argument,
    Input,
    NamedArgument,
    PackageEntry,
    Remote,
    ServerDocument,
    Template,
)

RUN_BY_ADAPTER: Final = ("npm", "pypi")
_BRACES: Final = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1"})  # noqa: S104  # Read, not bound.


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something that only a person, or a command line, can say."""

    name: str
    """The variable, the flag or the hint; what `--set NAME=VALUE` names."""
    about: Input

    @property
    def fallback(self) -> str | None:
        """What counts where nobody answers."""
        return self.about.default if self.about.is_required else None

    @property
    def needs_answer(self) -> bool:
        return self.about.is_required and self.about.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A text in which answers stand in for braces, or one answer as it is."""

    template: str | None
    """None where the whole is the answer to the one question."""
    questions: tuple[Question, ...] = ()

    @property
    def is_secret(self) -> bool:
        return any(question.about.is_secret for question in self.questions)

    def filled(self, answers: Mapping[str, str]) -> str | None:
        """The text; None where an answer is missing, so that the whole is left out.

        What nobody asked for keeps the server's own default, so that defaults count only where something is required.
        """
        known = {each.name: answers.get(each.name, each.fallback) for each in self.questions}
        if any(value is None for value in known.values()):
            return None
        if self.template is None:
            return known[self.questions[0].name]
        return _BRACES.sub(lambda found: known.get(found[1]) or found[0], self.template)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One argument. `name` is empty for a positional one."""

    name: str
    piece: Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry with its open questions."""

    name: str
    """A name for the server that a manifest takes."""
    description: str
    source: tuple[str, str]
    """The key and its value: `package`, `image`, or `remote` with the address."""
    arguments: tuple[Flag, ...] = ()
    variables: tuple[tuple[str, Piece], ...] = ()
    headers: tuple[tuple[str, Piece], ...] = ()
    """Of a remote server."""
    port: int = 0
    path: str = ""
    """Where the package serves HTTP; empty where it speaks through standard input."""
    notes: tuple[str, ...] = ()
    """What the entry says that Catwalk does in another way."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """Each once, in the order in which the entry has them."""
        pieces = [*(flag.piece for flag in self.arguments), *(piece for _, piece in (*self.variables, *self.headers))]
        return tuple({question.name: question for piece in pieces for question in piece.questions}.values())


def draft_of(document: ServerDocument, wanted: str = "") -> Draft:
    """The best way to run a server: a package, else an image, else the address that somebody else runs it at.

    Args:
        document: the entry.
        wanted: only this kind: `npm`, `pypi`, `oci` or `remote`; empty takes the first that works.

    Raises:
        SourceError: nothing in it is something that Catwalk runs (`not-runnable`).
    """
    reasons: list[str] = []
    for kind, choice in _choices(document, wanted):
        try:
            return _of_remote(document, choice) if isinstance(choice, Remote) else _of_package(document, choice)
        except SourceError as error:
            reasons.append(f"{kind}: {error.problem.message}")
    asked = f" as {wanted}" if wanted else ""
    raise SourceError(
        "not-runnable",
        f"{document.name} offers nothing{asked} that Catwalk runs" + (f" ({'; '.join(reasons)})" if reasons else ""),
        hint="it runs npm and PyPI packages, images that serve Streamable HTTP, and remote Streamable HTTP servers",
    )


def server_name(name: str) -> str:
    """A name that a manifest takes, from one of the registry: `io.github.acme/my_Server` is `my-server`."""
    words = re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower()).strip("-")
    words = re.sub(r"^[0-9-]+", "", words) or "server"
    return words[:40].rstrip("-")


def _choices(document: ServerDocument, wanted: str) -> Iterator[tuple[str, PackageEntry | Remote]]:
    packages = [(entry.registry_type, entry) for entry in document.packages]
    packages.sort(key=lambda pair: (pair[0] not in RUN_BY_ADAPTER, pair[1].transport.type != "stdio"))
    for kind, entry in packages:
        if wanted in {"", kind}:
            yield kind, entry
    for remote in document.remotes:
        if wanted in {"", "remote"}:
            yield "remote", remote


def _of_package(document: ServerDocument, entry: PackageEntry) -> Draft:
    if entry.transport.type == "sse":
        raise _unable("it speaks the deprecated SSE transport")
    port, path = _endpoint(entry) if entry.transport.type == "streamable-http" else (0, "")
    return Draft(
        name=server_name(document.name),
        description=document.description,
        source=_source(entry),
        arguments=tuple(_flags(entry.package_arguments)),
        variables=tuple((each.name, _piece(each, each.name)) for each in entry.environment_variables),
        port=port,
        path=path,
        notes=tuple(_notes(entry)),
    )


def _source(entry: PackageEntry) -> tuple[str, str]:
    if entry.registry_type in RUN_BY_ADAPTER:
        version = f"@{entry.version}" if entry.version else ""
        return "package", f"{entry.registry_type}:{entry.identifier}{version}"
    if entry.registry_type != "oci":
        raise _unable(f"packages of type {entry.registry_type} are not run")
    if entry.transport.type == "stdio":
        raise _unable("the image speaks through standard input, and nothing in it would serve HTTP")
    tagged = ":" in entry.identifier.rpartition("/")[2] or "@" in entry.identifier
    return "image", entry.identifier if tagged or not entry.version else f"{entry.identifier}:{entry.version}"


def _of_remote(document: ServerDocument, remote: Remote) -> Draft:
    if remote.type != "streamable-http":
        raise _unable("it speaks the deprecated SSE transport")
    if _BRACES.search(remote.url):
        raise _unable("its address has parts to fill in; write the entry by hand")
    return Draft(
        name=server_name(document.name),
        description=document.description,
        source=("remote", remote.url),
        headers=tuple((each.name, _piece(each, each.name)) for each in remote.headers),
    )


def _endpoint(entry: PackageEntry) -> tuple[int, str]:
    """Port and path of the address that the package serves in its machine; 0 is a port that Catwalk chooses."""
    template = _BRACES.sub("0", entry.transport.url)
    try:
        parts = urlsplit(template)
        port = parts.port if parts.port is not None else 80
    except ValueError as error:
        raise _unable(f"its address {entry.transport.url} cannot be read") from error
    if (parts.hostname or "") not in _LOOPBACK:
        raise _unable(f"its address {entry.transport.url} is none of its own machine")
    return port, parts.path or "/"


def _flags(arguments: tuple[Argument, ...]) -> Iterator[Flag]:
    for argument in arguments:
        name = argument.name if isinstance(argument, NamedArgument) else ""
        label = name or (argument.value_hint if not isinstance(argument, NamedArgument) else "")
        piece = _piece(argument, label)
        if piece.is_secret:
            if any(question.needs_answer for question in piece.questions):
                raise _unable(f"it wants a secret on its command line ({label}), where plans and processes show it")
            continue
        yield Flag(name=name, piece=piece)


def _piece(template: Template, label: str) -> Piece:
    if template.value is None:
        return Piece(template=None, questions=(Question(name=label, about=template),))
    inner = template.variables
    asked = [found for found in dict.fromkeys(_BRACES.findall(template.value)) if found in inner]
    questions = tuple(Question(name=name, about=_inherited(inner[name], template)) for name in asked)
    fixed = _BRACES.sub(
        lambda found: inner[found[1]].value or found[0] if found[1] in inner else found[0], template.value
    )
    return Piece(template=fixed, questions=tuple(each for each in questions if each.about.value is None))


def _inherited(variable: Input, around: Input) -> Input:
    """A part of a secret is one, and what must be there needs all its parts."""
    return variable.model_copy(
        update={
            "is_secret": variable.is_secret or around.is_secret,
            "is_required": variable.is_required or around.is_required,
        }
    )


def _notes(entry: PackageEntry) -> Iterator[str]:
    if entry.runtime_arguments and entry.registry_type in RUN_BY_ADAPTER:
        yield f"arguments for {entry.runtime_hint or 'the runtime'} itself are left out: the adapter starts the package"
    if entry.registry_base_url and entry.registry_type in RUN_BY_ADAPTER:
        client = "npm" if entry.registry_type == "npm" else "uv"
        yield f"the package comes from the registry that {client} is set up for, whatever the entry says"


def _unable(why: str) -> SourceError:
    return SourceError("not-runnable", why)
