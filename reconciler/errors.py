"""The exception tree of the control plane, classed by what the reader can do about it.

    CatwalkError                     carries a Problem: code, message, hint, place
    ├── SourceError                  fix the manifest, the secret file or the package reference
    │   └── InvalidManifests         several problems at once, each with its place
    ├── EnvironmentFault             fix the token, the key, the port or the program on this machine
    ├── Unavailable                  wait: an outside system does not answer now; the next pass tries again
    │   └── RateLimited              wait, and for how long is known
    ├── Conflict                     re-read: somebody else changed the same thing first
    ├── Refused                      the outside system understood and said no; the same call will be refused again
    └── InternalFault                report it: Catwalk itself is wrong

Doors translate the errors of their libraries into these and chain with `from`, so that no httpx, pygit2 or SQLAlchemy
type travels inwards. Messages have passed redaction before they get here.
"""

from typing import ClassVar

from reconciler.core.problems import Location, Problem, Remedy


class CatwalkError(Exception):
    """Any failure that Catwalk explains. `problem` is what every surface shows."""

    remedy: ClassVar[Remedy] = Remedy.REPORT

    def __init__(
        self, code: str, message: str, *, hint: str = "", location: Location | None = None, server: str = ""
    ) -> None:
        self.problem = Problem(
            code=code, message=message, remedy=self.remedy, hint=hint, location=location, server=server
        )
        super().__init__(str(self.problem))


class SourceError(CatwalkError):
    """The desired state is wrong as written: only a new commit can clear it."""

    remedy = Remedy.FIX_SOURCE


class InvalidManifests(SourceError):
    """The manifests of a revision cannot be used. All problems are told at once, so that one commit can fix them."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        super().__init__(first.code, first.message, hint=first.hint, location=first.location, server=first.server)
        self.problems = problems


class EnvironmentFault(CatwalkError):
    """The machine that Catwalk runs on lacks something: a key, a token, a free port, a program."""

    remedy = Remedy.FIX_ENVIRONMENT


class Unavailable(CatwalkError):
    """An outside system does not answer, or answers that it cannot now."""

    remedy = Remedy.WAIT


class RateLimited(Unavailable):
    """An outside system asks for fewer calls."""

    retry_after_s: float = 1.0


class Conflict(CatwalkError):
    """The thing changed between reading and writing (a lease, a version): re-read, never fight."""

    remedy = Remedy.WAIT


class Refused(CatwalkError):
    """The outside system refuses for good: a scope that is missing, a name that is taken, a size that is not sold."""

    remedy = Remedy.FIX_ENVIRONMENT


class InternalFault(CatwalkError):
    """A state that Catwalk believed impossible."""

    remedy = Remedy.REPORT
