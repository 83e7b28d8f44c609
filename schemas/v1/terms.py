"""The small languages inside a manifest: names, durations, packages, regions, dates, encrypted values.

Each is a text with a rule. The rule stands here once and serves twice: as a validator whose message tells a person what
to write, and as a pattern in the published JSON Schema for editors. No message ever repeats the value of a secret.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal, LiteralString

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

LONGEST_APP_NAME: Final = 62
"""Characters of `{fleet}-{server}`: a Fly app is also a DNS label, which holds fewer than 64 (RFC 1035)."""

LONGEST_TERM: Final = 500
"""Characters of any text with a rule. Some rules take their time with a text that nobody would write."""

NAME_PATTERN: Final = r"^[a-z](?:[a-z0-9-]*[a-z0-9])?$"
SHA256_PATTERN: Final = "^[0-9a-f]{64}$"
DURATION_PATTERN: Final = r"^[1-9][0-9]{0,6}(?:s|m|h)$"
VARIABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
REGION_PATTERN: Final = r"^[a-z]{3}$"
ORGANIZATION_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$"
RESOLVE_PATTERN: Final = r"^(?:latest|[0-9]{4}-[0-9]{2}-[0-9]{2})$"
EXECUTABLE_PATTERN: Final = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
ENCRYPTED_PATTERN: Final = (
    r"^ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]+,tag:[A-Za-z0-9+/=]+,type:(?:str|int|float|bool|bytes)\]$"
)
"""A value as SOPS writes it (getsops/sops, `aes/cipher.go`)."""

NPM_NAME_PATTERN: Final = r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*"
PYPI_NAME_PATTERN: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
SEMVER_PATTERN: Final = r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
PEP440_PATTERN: Final = (
    r"(?:[0-9]+!)?[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?"
    r"(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?"
)
PACKAGE_PATTERN: Final = (
    rf"^(?:npm:{NPM_NAME_PATTERN}(?:@{SEMVER_PATTERN})?|pypi:{PYPI_NAME_PATTERN}(?:@{PEP440_PATTERN})?)$"
)

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_NAME_RULES: Final = {"npm": NPM_NAME_PATTERN, "pypi": PYPI_NAME_PATTERN}
_VERSION_RULES: Final = {"npm": SEMVER_PATTERN, "pypi": PEP440_PATTERN}
_VERSION_EXAMPLES: Final = {"npm": "1.4.2", "pypi": "2026.10.19"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageParts:
    """A package in its parts; an empty version means the newest one."""

    registry: Literal["npm", "pypi"]
    name: str
    version: str


def seconds(duration: str) -> int:
    """The seconds of a valid duration such as `30s`, `5m` or `1h`."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def package_parts(package: str) -> PackageParts:
    """Takes a valid package text apart."""
    registry, _, rest = package.partition(":")
    name, version = _split_version(rest)
    return PackageParts(registry="npm" if registry == "npm" else "pypi", name=name, version=version)


def _split_version(rest: str) -> tuple[str, str]:
    # The scope of an npm package starts with the same sign that starts a version.
    name, _, version = rest[1:].partition("@")
    return rest[:1] + name, version


def _refuse(code: LiteralString, message: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})


def _check_length(value: str) -> str:
    if len(value) > LONGEST_TERM:
        raise _refuse("too-long", f"has {len(value)} characters; at most {LONGEST_TERM} are read", "shorten it")
    return value


def _check_name(value: str) -> str:
    if not re.fullmatch(NAME_PATTERN, value):
        raise _refuse(
            "bad-name",
            "must be lower-case letters, digits and dashes, start with a letter and not end with a dash",
            "it becomes part of a Fly app name, for example `acme-time`",
        )
    if len(value) > LONGEST_APP_NAME:
        message = f"has {len(value)} characters; at most {LONGEST_APP_NAME} fit in an app name"
        raise _refuse("bad-name", message, "shorten it")
    return value


def _check_sha256(value: str) -> str:
    if not re.fullmatch(SHA256_PATTERN, value):
        raise _refuse(
            "bad-hash",
            "is no SHA-256: 64 hexadecimal digits in lower case",
            "write the hash of the token, never the token: `printf %s TOKEN | sha256sum`",
        )
    return value


def _check_duration(value: str) -> str:
    if not re.fullmatch(DURATION_PATTERN, value):
        raise _refuse("bad-duration", "is no duration", "write a whole number and a unit: `30s`, `5m` or `1h`")
    return value


def _check_package(value: str) -> str:
    registry, colon, rest = value.partition(":")
    if not colon or registry not in _NAME_RULES:
        raise _refuse(
            "bad-package",
            "must say which registry the package comes from",
            "write `npm:NAME@VERSION` or `pypi:NAME@VERSION`, for example `pypi:mcp-server-time@2026.10.19`",
        )
    name, version = _split_version(rest)
    if not re.fullmatch(_NAME_RULES[registry], name):
        raise _refuse("bad-package", _bad_name_message(registry, name), f"write `{registry}:NAME@VERSION`")
    _check_version(registry, rest, version)
    return value


def _bad_name_message(registry: str, name: str) -> str:
    if registry == "pypi" and "[" in name:
        return "names extras, which are not supported by this version yet"
    return f"holds no valid {'npm' if registry == 'npm' else 'PyPI'} package name after `{registry}:`"


def _check_version(registry: str, rest: str, version: str) -> None:
    dangling = not version and rest.endswith("@")
    if not dangling and (not version or re.fullmatch(_VERSION_RULES[registry], version)):
        return
    raise _refuse(
        "bad-version",
        "needs one exact version after `@`, not a range or a tag",
        f"pin it, for example `@{_VERSION_EXAMPLES[registry]}`, or leave `@` out for the newest",
    )


def _check_variable(value: str) -> str:
    if not re.fullmatch(VARIABLE_PATTERN, value):
        raise _refuse("bad-variable", "is no name of an environment variable", "use letters, digits and underscores")
    return value


def _check_region(value: str) -> str:
    if not re.fullmatch(REGION_PATTERN, value):
        raise _refuse("bad-region", "is no Fly region", "a region has three lower-case letters, for example `iad`")
    return value


def _check_organization(value: str) -> str:
    if not re.fullmatch(ORGANIZATION_PATTERN, value):
        raise _refuse(
            "bad-organization", "is no Fly organization slug", "`fly orgs list` shows the slugs, for example `acme`"
        )
    return value


def _check_resolve_as_of(value: str) -> str:
    if not re.fullmatch(RESOLVE_PATTERN, value) or not _is_date_or_latest(value):
        raise _refuse("bad-date", "must be `latest` or a date", "write the date as `2026-10-19`")
    return value


def _is_date_or_latest(value: str) -> bool:
    try:
        return value == "latest" or bool(date.fromisoformat(value))
    except ValueError:
        return False


def _check_executable(value: str) -> str:
    if not re.fullmatch(EXECUTABLE_PATTERN, value):
        raise _refuse(
            "bad-entrypoint",
            "must be the name of one executable of the package",
            "no path and no arguments: arguments go to `args`",
        )
    return value


def _check_encrypted(value: str) -> str:
    if not re.fullmatch(ENCRYPTED_PATTERN, value):
        raise _refuse(
            "unencrypted-secret",
            "is not encrypted",
            "treat the value as leaked and replace it; encrypt the file with `sops`, or leave the value empty "
            "and keep it in a file of its own",
        )
    return value


def _check_no_nul(value: str) -> str:
    if "\0" in value:
        message = "holds a NUL character, which no process argument or variable can carry"
        raise _refuse("bad-text", message, "remove `\\0` from it")
    return value


def published(pattern: str) -> WithJsonSchema:
    """How a text with a rule stands in the JSON Schema."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": LONGEST_TERM})


Term = Annotated[str, AfterValidator(_check_length)]
Name = Annotated[
    Term,
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": LONGEST_APP_NAME}),
]
Sha256 = Annotated[
    Term,
    AfterValidator(_check_sha256),
    published(SHA256_PATTERN),
]
Duration = Annotated[
    Term,
    AfterValidator(_check_duration),
    published(DURATION_PATTERN),
]
Package = Annotated[
    Term,
    AfterValidator(_check_package),
    published(PACKAGE_PATTERN),
]
Variable = Annotated[
    Term,
    AfterValidator(_check_variable),
    published(VARIABLE_PATTERN),
]
Region = Annotated[
    Term,
    AfterValidator(_check_region),
    published(REGION_PATTERN),
]
Organization = Annotated[
    Term,
    AfterValidator(_check_organization),
    published(ORGANIZATION_PATTERN),
]
ResolveAsOf = Annotated[
    Term,
    AfterValidator(_check_resolve_as_of),
    published(RESOLVE_PATTERN),
]
Executable = Annotated[
    Term,
    AfterValidator(_check_executable),
    published(EXECUTABLE_PATTERN),
]
Encrypted = Annotated[
    str, AfterValidator(_check_encrypted), WithJsonSchema({"type": "string", "pattern": ENCRYPTED_PATTERN})
]
Text = Annotated[str, AfterValidator(_check_no_nul), WithJsonSchema({"type": "string"})]
