"""Reading manifests: what a fleet becomes, and what a person is told when it cannot."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.health_policy import HealthPolicy
from reconciler.core.manifest_set import ManifestSet
from reconciler.core.problems import Location, Problem
from reconciler.core.prune_policy import PrunePolicy
from reconciler.core.serving import Serving, SessionMode, TransportType
from reconciler.core.types import Guest, IdleAction, PackageReference, Registry, Scale, SecretDeclaration
from reconciler.errors import InvalidManifests
from reconciler.sources.manifests import read_manifests

HEAD = "apiVersion: catwalk.dev/v1\nfleet: acme\n"
CIPHERTEXT = "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]"
SOPS = "sops:\n  version: 3.11.0\n  mac: x\n"


def read(text: str) -> ManifestSet:
    return read_manifests({"catwalk.yaml": text.encode()})


def refused(text: str | bytes) -> tuple[Problem, ...]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"catwalk.yaml": content})
    return caught.value.problems


def server(lines: str) -> str:
    """A manifest with one server whose fields are `lines`; they start in line 5, column 5."""
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    return f"{HEAD}servers:\n  time:\n{indented}"


def test_a_server_becomes_a_spec_with_all_that_it_says() -> None:
    fleet = read(
        server(
            "package: pypi:mcp-server-time@2026.10.19\n"
            "args: [--local-timezone=Europe/Berlin]\n"
            'env: {PORT: "8080"}\n'
            "secrets: {TOKEN: , OTHER: " + f"'{CIPHERTEXT}'" + "}\n"
            "vm: {cpu_kind: performance, cpus: 2, memory_mb: 4096}\n"
            "scale: {min: 1, max: 3, idle: off, idle_after: 1h}\n"
            "regions: [fra, iad]\n"
            "health: {interval: 30s, timeout: 3s, grace: 5m}\n"
            "entrypoint: mcp-server-time\n"
            "transport: {type: streamable-http, port: 3000, path: /x}\n"
            "sessions: isolated\n"
            "resolve_as_of: 2026-10-20\n"
            "suspend: true\n"
            "description: Tells the time.\n"
        )
        + SOPS
    )
    (spec,) = fleet.specs
    assert (fleet.fleet, fleet.organization, fleet.files, fleet.warnings) == ("acme", "personal", ("catwalk.yaml",), ())
    assert spec.package == PackageReference(registry=Registry.PYPI, name="mcp-server-time", version="2026.10.19")
    assert spec.arguments == ("--local-timezone=Europe/Berlin",)
    assert spec.environment == {"PORT": "8080"}
    assert spec.guest == Guest(cpu_kind="performance", cpus=2, memory_mb=4096)
    assert spec.scale == Scale(minimum=1, maximum=3, idle=IdleAction.KEEP, idle_after_s=3600.0)
    assert spec.regions == ("fra", "iad")
    assert spec.health == HealthPolicy(interval_s=30.0, timeout_s=3.0, grace_s=300.0)
    assert (spec.entrypoint, spec.resolve_as_of, spec.suspended) == ("mcp-server-time", "2026-10-20", True)
    assert spec.serving == Serving(
        transport=TransportType.STREAMABLE_HTTP, port=3000, path="/x", sessions=SessionMode.ISOLATED
    )
    assert (spec.app, spec.description) == ("acme-time", "Tells the time.")
    assert spec.location == Location(file="catwalk.yaml", line=4, column=3)
    assert spec.secrets == (
        SecretDeclaration(
            name="OTHER", file="catwalk.yaml", inline=True, location=Location(file="catwalk.yaml", line=8, column=24)
        ),
        SecretDeclaration(
            name="TOKEN",
            file="secrets/time/TOKEN.sops.yaml",
            inline=False,
            location=Location(file="catwalk.yaml", line=8, column=15),
        ),
    )


def test_defaults_reach_every_server_field_by_field_and_its_own_field_wins() -> None:
    fleet = read(
        HEAD + "fly: {organization: acme, regions: [ams]}\n"
        "defaults:\n"
        "  vm: {cpus: 2, memory_mb: 1024}\n"
        "  env: {A: default, B: default}\n"
        "  health: {grace: 5m}\n"
        "  resolve_as_of: latest\n"
        "servers:\n"
        "  a: {package: 'npm:a@1.0.0', vm: {memory_mb: 2048}, env: {B: own}, health: {interval: 9s}, regions: [fra]}\n"
        "  b: {package: 'npm:b@1.0.0'}\n"
    )
    own, plain = fleet.specs
    assert fleet.organization == "acme"
    assert own.guest == Guest(cpus=2, memory_mb=2048)
    assert plain.guest == Guest(cpus=2, memory_mb=1024)
    assert own.environment == {"A": "default", "B": "own"}
    assert own.health == HealthPolicy(interval_s=9.0, grace_s=300.0)
    assert (own.regions, plain.regions) == (("fra",), ("ams",))
    assert (own.resolve_as_of, plain.resolve_as_of) == ("latest", "latest")


def test_owner_and_labels_are_inherited_like_everything_else() -> None:
    fleet = read(
        HEAD + "defaults: {owner: platform, labels: {tier: test, team: a}}\n"
        "servers:\n"
        "  a: {package: 'npm:a@1.0.0', owner: search, labels: {tier: production}}\n"
        "  b: {package: 'npm:b@1.0.0'}\n"
    )
    own, plain = fleet.specs
    assert (own.owner, own.labels) == ("search", {"tier": "production", "team": "a"})
    assert (plain.owner, plain.labels) == ("platform", {"tier": "test", "team": "a"})


def test_specs_come_sorted_by_name_from_all_files() -> None:
    fleet = read_manifests(
        {
            "b/catwalk.yaml": f"{HEAD}servers: {{alpha: {{package: 'npm:a@1.0.0', secrets: {{T: }}}}}}\n".encode(),
            "a/catwalk.yaml": f"{HEAD}servers: {{zulu: {{package: 'npm:z@1.0.0'}}}}\n".encode(),
            "a/other.yaml": b"not: read",
        }
    )
    assert [spec.name for spec in fleet.specs] == ["alpha", "zulu"]
    assert fleet.files == ("a/catwalk.yaml", "b/catwalk.yaml")
    assert fleet.specs[0].secrets[0].file == "b/secrets/alpha/T.sops.yaml"


def test_a_server_name_used_twice_names_both_places() -> None:
    text = f"{HEAD}servers:\n  time:\n    package: npm:x@1.0.0\n".encode()
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"a/catwalk.yaml": text, "b/catwalk.yaml": text})
    (problem,) = caught.value.problems
    assert problem.code == "duplicate-server"
    assert str(problem.location) == "b/catwalk.yaml:4:3"
    assert "a/catwalk.yaml:4:3" in problem.message


def test_manifests_of_different_fleets_or_organizations_are_refused() -> None:
    first = b"apiVersion: catwalk.dev/v1\nfleet: one\nfly: {organization: acme}\nservers: {}\n"
    other = b"apiVersion: catwalk.dev/v1\nfleet: two\nfly: {organization: else}\nservers: {}\n"
    silent = b"apiVersion: catwalk.dev/v1\nfleet: one\nservers: {}\n"
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"a/catwalk.yaml": first, "b/catwalk.yaml": other, "c/catwalk.yaml": silent})
    assert [(problem.code, str(problem.location)) for problem in caught.value.problems] == [
        ("different-fleet", "b/catwalk.yaml:2:8"),
        ("different-organization", "b/catwalk.yaml:3:21"),
    ]


def test_no_manifest_at_all_is_said_as_such() -> None:
    with pytest.raises(InvalidManifests, match=r"no catwalk\.yaml"):
        read_manifests({"README.md": b"x"})


def test_an_unpinned_package_is_a_warning_at_its_place() -> None:
    fleet = read(server("package: npm:left-pad"))
    (warning,) = fleet.warnings
    assert (warning.code, str(warning.location), warning.server) == ("unpinned-package", "catwalk.yaml:5:14", "time")
    assert fleet.specs[0].package.version == ""


def test_an_encrypted_manifest_is_read_without_a_key() -> None:
    fleet = read(server(f"package: npm:x@1.0.0\nsecrets:\n  TOKEN: {CIPHERTEXT}") + SOPS)
    assert fleet.specs[0].secret_names == ("TOKEN",)


PIN = "package: npm:x@1.0.0\n"

ONE_PROBLEM = {
    "unknown key": (server(PIN + "arg: [x]"), "unknown-key", "6:5", "did you mean `args`?"),
    "unknown top-level key": (f"{HEAD}server: {{}}\nservers: {{}}\n", "unknown-key", "3:1", "did you mean `servers`?"),
    "misspelt needed key": (server("pakage: npm:x@1.0.0"), "unknown-key", "5:5", "did you mean `package`?"),
    "unknown key, none near": (server(PIN + "zzz: 1"), "unknown-key", "6:5", "known here: `env`"),
    "no remote address": (server("remote: {url: x}"), "bad-url", "5:19", "is no address that the gateway can call"),
    "prune": (f"{HEAD}policy: {{prune: {{max_percent: 101}}}}\nservers: {{}}\n", "out-of-range", "3:31", "at most 100"),
    "unknown dependency": (
        server(PIN + "depends_on: [clock]"),
        "unknown-dependency",
        "6:18",
        "depends on `clock`, which no manifest declares",
    ),
    "itself": (server(PIN + "depends_on: [time]"), "dependency-cycle", "6:18", "`time` waits for itself"),
    "no package": (server("args: []"), "missing-source", "4:3", "add `package: npm:NAME@VERSION`"),
    "no fleet": ("apiVersion: catwalk.dev/v1\nservers: {}\n", "missing-key", "1:1", "add `fleet: NAME`"),
    "other version": (
        "apiVersion: catwalk.dev/v2\nfleet: a\nservers: {}\n",
        "unknown-choice",
        "1:13",
        "catwalk.dev/v1",
    ),
    "fleet name": ("apiVersion: catwalk.dev/v1\nfleet: Acme\nservers: {}\n", "bad-name", "2:8", "lower-case letters"),
    "server name": (
        f"{HEAD}servers:\n  My_Time: {{package: 'npm:x@1.0.0'}}\n",
        "bad-name",
        "4:3",
        "`My_Time`",
    ),
    "long name": (
        f"{HEAD}servers:\n  {'a' * 58}: {{package: 'npm:x@1.0.0'}}\n",
        "name-too-long",
        "4:3",
        "63 char",
    ),
    "no registry": (server("package: mcp-server-time"), "bad-package", "5:14", "which registry"),
    "range": (server("package: npm:x@^1.0.0"), "bad-version", "5:14", "one exact version"),
    "tag": (server("package: npm:x@latest"), "bad-version", "5:14", "leave `@` out for the newest"),
    "lone sign": (server("package: npm:x@"), "bad-version", "5:14", "pin it"),
    "npx command": (server("package: npx -y x"), "bad-package", "5:14", "write `npm:NAME@VERSION`"),
    "package name": (server("package: npm:a b@1.0.0"), "bad-package", "5:14", "no valid npm package name"),
    "extras": (server("package: 'pypi:x[cli]@1.0'"), "bad-package", "5:14", "extras"),
    "number in env": (server(PIN + "env: {PORT: 8080}"), "not-text", "6:17", "put it in quotes"),
    "boolean in env": (server(PIN + "env: {DEBUG: true}"), "not-text", "6:18", "not a boolean"),
    "number in args": (server(PIN + "args: [--port, 80]"), "not-text", "6:20", "`servers.time.args[1]`"),
    "text for args": (server(PIN + "args: --port"), "wrong-type", "6:11", "must be a list, not text"),
    "variable name": (server(PIN + "env: {A-B: x}"), "bad-variable", "6:11", "letters, digits and underscores"),
    "nul": (server(PIN + 'env: {A: "a\\0b"}'), "bad-text", "6:14", "NUL"),
    "empty env": (server(PIN + "env:"), "empty-value", "6:5", "remove the key"),
    "duration": (server(PIN + "health: {interval: soon}"), "bad-duration", "6:24", "`30s`, `5m` or `1h`"),
    "duration as number": (server(PIN + "health: {interval: 5}"), "not-text", "6:24", "`30s`, `5m` or `1h`"),
    "cpu kind": (server(PIN + "vm: {cpu_kind: shard}"), "unknown-choice", "6:20", "`shared` or `performance`"),
    "memory step": (server(PIN + "vm: {memory_mb: 300}"), "bad-size", "6:21", "512 MB fits"),
    "memory minimum": (server(PIN + "vm: {memory_mb: 1}"), "out-of-range", "6:21", "at least 256"),
    "memory as text": (server(PIN + "vm: {memory_mb: 512MB}"), "wrong-type", "6:21", "whole number, not text"),
    "scale": (server(PIN + "scale: {min: 2}"), "bad-scale", "6:18", "raise `max`"),
    "machines": (server(PIN + "scale: {max: 1000}"), "out-of-range", "6:18", "at most 100"),
    "no regions": (server(PIN + "regions: []"), "empty-value", "6:14", "must not be empty"),
    "region": (server(PIN + "regions: [us-east]"), "bad-region", "6:15", "three lower-case letters"),
    "organization": (f"{HEAD}fly: {{organization: A B}}\nservers: {{}}\n", "bad-organization", "3:21", "slug"),
    "suspend": (server(PIN + "suspend: yes"), "wrong-type", "6:14", "`true` or `false`"),
    "date": (server(PIN + "resolve_as_of: 2026-02-30"), "bad-date", "6:20", "`latest` or a date"),
    "entrypoint": (server(PIN + "entrypoint: bin/x"), "bad-entrypoint", "6:17", "arguments go to `args`"),
    "port on stdio": (
        server(PIN + "transport: {type: stdio, port: 3000}"),
        "bad-transport",
        "6:36",
        "write `type: streamable-http`",
    ),
    "our own port": (
        server(PIN + "transport: {type: streamable-http, port: 8080}"),
        "bad-transport",
        "6:46",
        "leave `port` out",
    ),
    "old transport": (server(PIN + "transport: {type: sse}"), "unknown-choice", "6:23", "`streamable-http`"),
    "path of a transport": (
        server(PIN + "transport: {type: streamable-http, path: mcp}"),
        "bad-path",
        "6:46",
        "such as `/mcp`",
    ),
    "sessions": (server(PIN + "sessions: own"), "unknown-choice", "6:15", "`isolated`"),
    "twice": (server(PIN + "secrets: {A: }\nenv: {A: x}"), "duplicate-variable", "6:15", "both in `env` and"),
    "no sops": (server(PIN + f"secrets: {{A: '{CIPHERTEXT}'}}"), "missing-sops-block", "6:18", "nothing can decrypt"),
    "encrypted fleet": (
        f"apiVersion: catwalk.dev/v1\nfleet: {CIPHERTEXT}\nservers: {{}}\n{SOPS}",
        "encrypted-value",
        "2:8",
        "`encrypted_regex: ^secrets$`",
    ),
    "duplicate key": (server(PIN + "package: npm:y@1.0.0"), "duplicate-key", "6:5", "first used in line 5"),
    "empty file": ("", "empty-manifest", "1:1", "apiVersion"),
    "comment alone": ("# nothing\n", "empty-manifest", "1:1", "apiVersion"),
    "list": ("- a\n", "wrong-type", "1:1", "not a list"),
    "servers as list": (f"{HEAD}servers: [a]\n", "wrong-type", "3:10", "mapping of keys to values, not a list"),
    "server as text": (f"{HEAD}servers: {{a: b}}\n", "wrong-type", "3:14", "mapping of keys to values, not text"),
}


@pytest.mark.parametrize(("text", "code", "place", "words"), ONE_PROBLEM.values(), ids=ONE_PROBLEM.keys())
def test_one_fault_is_one_problem_with_its_place_and_fix(text, code, place, words) -> None:
    (problem,) = refused(text)
    assert (problem.code, str(problem.location)) == (code, f"catwalk.yaml:{place}")
    assert words in str(problem)


SYNTAX = {
    "tab": ("a:\n\tb: 1\n", "2:1", "a tab stands where YAML needs spaces"),
    "open quote": ('a: "x\nb: 1\n', "1:4", "a quote is opened here"),
    "escape": ('a: "\\q"\n', "1:4", "a quote is opened here"),
    "open list": ("a: [1, 2\nb: 3\n", "1:4", "a list in brackets is opened here"),
    "open mapping": ("a: {b: 1\n", "1:4", "a mapping in braces is opened here"),
    "second colon": ("a: b: c\n", "1:5", "a `:` stands where no value can begin"),
    "indentation": ("a:\n  b: 1\n c: 2\n", "3:2", "the indentation fits none of the lines above"),
    "reserved sign": ("a: @x\n", "1:4", "a value cannot start with this character"),
    "list on the key's line": ("a: - b\n", "1:4", "a list item `-` stands where none can begin"),
    "block text": ("a: |x\n b\n", "1:5", "the text block after"),
    "no colon": ("a: 1\nb\nc: 2\n", "2:1", "a key without `:` stands here"),
}


@pytest.mark.parametrize(("text", "place", "words"), SYNTAX.values(), ids=SYNTAX.keys())
def test_text_that_is_no_yaml_is_explained_in_plain_words(text, place, words) -> None:
    (problem,) = refused(text)
    assert (problem.code, str(problem.location)) == ("yaml-syntax", f"catwalk.yaml:{place}")
    assert words in problem.message
    assert problem.hint


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

HOSTILE = {
    "alias bomb": (BOMB, "too-many-nodes"),
    "many aliases": ("a: &a 1\nb: [" + "*a, " * 200 + "]\n", "too-many-aliases"),
    "alias of itself": ("a: &a [*a]\n", "unknown-alias"),
    "deep nesting": ("[" * 10_000, "too-deep"),
    "deep block nesting": ("- " * 10_000, "too-deep"),
    "many nodes": ("[" + "1," * 150_000 + "]", "too-many-nodes"),
    "large": (b"#" * (1024 * 1024 + 1), "file-too-large"),
    "object": ("a: !!python/object:os.system {}\n", "unknown-tag"),
    "local tag": ("a: !secret x\n", "unknown-tag"),
    "merge key": ("a: {<<: {b: 1}}\n", "merge-key"),
    "list as key": ("? [a]\n: b\n", "bad-key"),
    "second document": ("a: 1\n---\nb: 1\n", "several-documents"),
    "latin-1": ("a: ü\n".encode("latin-1"), "not-utf-8"),
    "utf-16": ("a: 1\n".encode("utf-16"), "not-utf-8"),
    "control character": ("a: \x01\n", "bad-character"),
    "nul": (b"a: \x00\n", "bad-character"),
}


@pytest.mark.parametrize(("content", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_within_the_limits(content, code) -> None:
    assert code in {problem.code for problem in refused(content)}


def test_all_problems_are_told_at_once_in_reading_order() -> None:
    problems = refused(
        server("package: npm:x@^1\narg: 1\nenv: {A: 1}\nvm: {memory_mb: yes}") + "  other:\n    package: nothing\n"
    )
    assert [problem.code for problem in problems] == [
        "bad-version",
        "unknown-key",
        "not-text",
        "wrong-type",
        "bad-package",
    ]
    assert [problem.server for problem in problems] == ["time"] * 4 + ["other"]


def test_a_broken_file_does_not_hide_the_problems_of_another() -> None:
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"a/catwalk.yaml": b"a: [", "b/catwalk.yaml": b"- x", "c/catwalk.yaml": b""})
    assert [problem.code for problem in caught.value.problems] == ["yaml-syntax", "wrong-type", "empty-manifest"]


def test_a_wrong_default_is_one_problem_at_the_default() -> None:
    (problem,) = refused(
        HEAD + "defaults: {vm: {memory_mb: 300}}\nservers: {a: {package: 'npm:a@1.0.0'}, b: {package: 'npm:b@1.0.0'}}\n"
    )
    assert str(problem.location) == "catwalk.yaml:3:28"


SECRET = "hunter2-hunter2"

LEAKS = {
    "plaintext": server(PIN + f"secrets: {{TOKEN: {SECRET}}}"),
    "plaintext that is a number": server(PIN + "secrets: {TOKEN: 987654321987654321}"),
    "plaintext in a list": server(PIN + f"secrets: [{SECRET}]"),
    "plaintext as a name": server(PIN + f"secrets: {{'{SECRET}!': }}"),
    "plaintext as secrets": server(PIN + f"secrets: {SECRET}"),
    "alias": server(PIN + f"secrets: {{TOKEN: *{SECRET} }}"),
    "tag": server(PIN + f"secrets: {{TOKEN: !{SECRET} x}}"),
    "open quote": server(PIN + f"secrets: {{TOKEN: '{SECRET} }}"),
    "bad escape": server(PIN + f'secrets: {{TOKEN: "\\q{SECRET}" }}'),
    "package": server(f"package: {SECRET}"),
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_no_problem_repeats_a_value_that_may_be_a_secret(text) -> None:
    with pytest.raises(InvalidManifests) as caught:
        read(text)
    told = [str(caught.value), repr(caught.value.problems)]
    cause = caught.value.__cause__
    while cause is not None:
        told.append(str(cause))
        cause = cause.__cause__
    assert not [line for line in told if SECRET in line or "987654321" in line]


def test_an_unencrypted_secret_has_its_own_code() -> None:
    for value in (SECRET, "12345", "''", "[x]"):
        (problem,) = refused(server(PIN + f"secrets: {{TOKEN: {value}}}"))
        assert (problem.code, str(problem.location)) == ("unencrypted-secret", "catwalk.yaml:6:22")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_fleet_or_problems_and_nothing_else(content) -> None:
    _reads_or_explains(content)


PIECES = [
    *(
        "a",
        "fleet",
        "servers",
        ":",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!t ",
        "!!",
        "|",
    ),
    *(
        "|",
        ">",
        "'",
        '"',
        "\\",
        "\\x",
        "\\u12",
        "%YAML 1.2\n",
        "%TAG ! x\n",
        "---",
        "...",
        "? ",
        "#",
        "\ufeff",
        "\x85",
        "~",
    ),
    *("é", "\u2028", "<<", "0x", "1e9", ".", "@", "`", "=", HEAD, PIN, "sops", "\r", "\U0001f600"),
]
YAMLISH = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(YAMLISH)
def test_text_that_looks_like_yaml_gives_a_fleet_or_problems_and_nothing_else(text) -> None:
    _reads_or_explains(text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(CIPHERTEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["package", "args", "env", "secrets", "vm", "scale", "regions", "health", "suspend", "git", "transport", "sessions"]
)


@given(st.dictionaries(st.sampled_from(["time", "A"]), st.dictionaries(FIELDS, JSON) | JSON), JSON, JSON)
def test_well_formed_nonsense_gives_problems_with_places(servers, defaults, fly) -> None:
    document = {"apiVersion": "catwalk.dev/v1", "fleet": "acme", "servers": servers, "defaults": defaults, "fly": fly}
    _reads_or_explains(json.dumps(document).encode())


def _reads_or_explains(content: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        fleet = read_manifests({"catwalk.yaml": content})
    except InvalidManifests as invalid:
        problems = invalid.problems
    assert problems or fleet.files == ("catwalk.yaml",)
    for problem in problems:
        assert problem.message
        assert problem.location is not None
        assert problem.location.line >= 1
        assert problem.location.column >= 1


def test_servers_that_wait_for_each_other_are_named_in_their_circle() -> None:
    one = f"{HEAD}servers:\n  a: {{package: 'npm:x@1.0.0', depends_on: [b]}}\n".encode()
    second, third = ("{package: 'npm:x@1.0.0', depends_on: [c]}", "{package: 'npm:x@1.0.0', depends_on: [a]}")
    two = f"{HEAD}servers:\n  b: {second}\n  c: {third}\n"
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"one/catwalk.yaml": one, "two/catwalk.yaml": two.encode()})
    (problem,) = caught.value.problems
    assert (problem.code, str(problem.location)) == ("dependency-cycle", "one/catwalk.yaml:4:44")
    assert "`a` -> `b` -> `c` -> `a`" in problem.message


def test_a_server_may_depend_on_one_of_another_file_and_each_only_once() -> None:
    one = f"{HEAD}servers:\n  a: {{package: 'npm:x@1.0.0', depends_on: [b, b]}}\n".encode()
    two = f"{HEAD}servers:\n  b: {{package: 'npm:x@1.0.0'}}\n".encode()
    fleet = read_manifests({"one/catwalk.yaml": one, "two/catwalk.yaml": two})
    assert [spec.depends_on for spec in fleet.specs] == [("b",), ()]


def test_a_name_is_not_called_unknown_while_a_file_cannot_be_read() -> None:
    one = f"{HEAD}servers:\n  a: {{package: 'npm:x@1.0.0', depends_on: [b]}}\n".encode()
    with pytest.raises(InvalidManifests) as caught:
        read_manifests({"one/catwalk.yaml": one, "two/catwalk.yaml": b"a: b: c\n"})
    assert [problem.code for problem in caught.value.problems] == ["yaml-syntax"]


def test_the_strictest_prune_policy_of_all_manifests_counts() -> None:
    files = {
        "a/catwalk.yaml": f"{HEAD}policy: {{prune: {{max_count: 20, max_percent: 80}}}}\nservers: {{}}\n".encode(),
        "b/catwalk.yaml": f"{HEAD}policy: {{prune: {{max_count: 5, confirm: true}}}}\nservers: {{}}\n".encode(),
        "c/catwalk.yaml": f"{HEAD}servers: {{}}\n".encode(),
    }
    assert read_manifests(files).prune == PrunePolicy(max_percent=80, max_count=5, always_confirm=True)
    assert read_manifests({"c/catwalk.yaml": files["c/catwalk.yaml"]}).prune == PrunePolicy()
