"""A server as a manifest states it, with the defaults of its file merged in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from reconciler.core.locked import LockedProgram
from reconciler.core.problems import Location, Problem
from reconciler.sources.yaml_nodes import Document, Path
from schemas.v1 import manifest as schema
from schemas.v1.machine import Health, Scale, VirtualMachine
from schemas.v1.manifest import SOURCE_KEYS

PartT = TypeVar("PartT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadServer:
    """One server of one file, as written and with its defaults."""

    document: Document
    manifest: schema.Manifest
    name: str
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    """All of the revision, among them what lies in the folders that servers run from."""
    locks: Mapping[str, LockedProgram] = field(default_factory=dict[str, LockedProgram], repr=False)
    """The entries of the lock beside the manifest, by server; none where there is no lock."""
    environment: str = ""
    """Whose overlay is merged in."""

    @property
    def written(self) -> schema.Server:
        return self.manifest.servers[self.name]

    @property
    def path(self) -> Path:
        return ("servers", self.name)

    @property
    def location(self) -> Location:
        return self.document.key_place(self.path)

    @property
    def source(self) -> str:
        """The key that names the program."""
        return next(key for key in SOURCE_KEYS if key in self.written.model_fields_set)

    @property
    def locked(self) -> LockedProgram | None:
        """What the lock beside the manifest says about it."""
        return self.locks.get(self.name)

    def place(self, *fields: str) -> Location:
        """Where a field was written: at the server, else in the defaults; else what is around it, else the server."""
        for length in range(len(fields), 0, -1):
            for path in ((*self.path, *fields[:length]), ("defaults", *fields[:length])):
                if self.document.has(path):
                    return self.document.place(path)
        return self.location

    def key_place(self, *fields: str) -> Location:
        """Where the key of a field stands, as with `place`."""
        for path in ((*self.path, *fields), ("defaults", *fields)):
            if self.document.has(path):
                return self.document.key_place(path)
        return self.location

    def problem(self, code: str, message: str, hint: str, location: Location) -> Problem:
        return Problem(code=code, message=message, hint=hint, location=location, server=self.name)


def overlaid(base: PartT, over: PartT) -> PartT:
    """`base` with every field that `over` states."""
    return base.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


def vm_of(server: ReadServer) -> VirtualMachine:
    return overlaid(server.manifest.defaults.vm, server.written.vm)


def scale_of(server: ReadServer) -> Scale:
    return overlaid(server.manifest.defaults.scale, server.written.scale)


def health_of(server: ReadServer) -> Health:
    return overlaid(server.manifest.defaults.health, server.written.health)


def environment_of(server: ReadServer) -> dict[str, str]:
    return {**server.manifest.defaults.env, **server.written.env}


def regions_of(server: ReadServer) -> tuple[str, ...]:
    for part in (server.written, server.manifest.defaults):
        if "regions" in part.model_fields_set:
            return part.regions
    return server.manifest.fly.regions


def region_place(server: ReadServer, region: str) -> Location:
    """Where a region of a server was written: at the server, in the defaults, or for the fleet."""
    for path in ((*server.path, "regions"), ("defaults", "regions"), ("fly", "regions")):
        if server.document.has(path):
            return server.document.place((*path, regions_of(server).index(region)))
    return server.location
