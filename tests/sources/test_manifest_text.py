"""A server is added to the text of a manifest, and nothing else of the text changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SourceError
from reconciler.sources.manifest_text import with_server
from reconciler.sources.yaml_nodes import read_document

ENTRY = {
    "package": "npm:@acme/search@1.2.3",
    "args": ["--port=80", "a b"],
    "env": {"LEVEL": "1"},
    "secrets": {"KEY": None},
}
LINES = """\
  search:
    package: npm:@acme/search@1.2.3
    args:
      - --port=80
      - "a b"
    env:
      LEVEL: "1"
    secrets:
      KEY:
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("fleet: acme\n", f"fleet: acme\nservers:\n{LINES}", id="no servers yet"),
        pytest.param("fleet: acme\nservers:\n", f"fleet: acme\nservers:\n{LINES}", id="servers without a value"),
        pytest.param("fleet: acme\nservers: {}\n", f"fleet: acme\nservers:\n{LINES}", id="empty braces"),
        pytest.param(
            "servers: {} # none yet\nfleet: acme\n", f"servers: # none yet\n{LINES}fleet: acme\n", id="empty, comment"
        ),
        pytest.param(
            "servers:\n  a:\n    package: npm:a@1.0.0",
            f"servers:\n  a:\n    package: npm:a@1.0.0\n{LINES}",
            id="no line break at the end",
        ),
        pytest.param(
            "servers:\n  a: # first\n    package: npm:a@1.0.0\n\n# More.\ndefaults:\n  env: {A: b}\n",
            f"servers:\n  a: # first\n    package: npm:a@1.0.0\n{LINES}\n# More.\ndefaults:\n  env: {{A: b}}\n",
            id="something follows",
        ),
        pytest.param(
            "servers:\n  a:\n    description: |\n      one\n\n      two\n    package: npm:a@1.0.0\n",
            f"servers:\n  a:\n    description: |\n      one\n\n      two\n    package: npm:a@1.0.0\n{LINES}",
            id="a text of several lines",
        ),
        pytest.param(
            "servers:\n  a: {package: 'npm:a@1.0.0'}\n",
            f"servers:\n  a: {{package: 'npm:a@1.0.0'}}\n{LINES}",
            id="a server in braces",
        ),
    ],
)
def test_the_entry_goes_to_the_end_of_the_servers(before: str, after: str) -> None:
    assert with_server(before.encode(), "search", ENTRY, file="catwalk.yaml").decode() == after


def test_the_indentation_and_line_breaks_of_the_file_are_kept() -> None:
    before = b"servers:\r\n    a:\r\n        package: npm:a@1.0.0\r\n"
    after = with_server(before, "b", {"package": "npm:b@1.0.0"}, file="catwalk.yaml")
    assert after == before + b"    b:\r\n      package: npm:b@1.0.0\r\n"


@pytest.mark.parametrize(
    ("before", "code"),
    [
        pytest.param("servers:\n  search:\n    package: npm:a@1.0.0\n", "server-exists", id="there already"),
        pytest.param("servers: {a: {package: 'npm:a@1.0.0'}}\n", "cannot-add-server", id="in one line"),
        pytest.param("{fleet: acme}\n", "cannot-add-server", id="all in one line"),
        pytest.param("servers: [a]\n", "cannot-add-server", id="a list"),
    ],
)
def test_a_file_that_cannot_be_added_to_is_refused_with_a_place(before: str, code: str) -> None:
    with pytest.raises(SourceError) as refused:
        with_server(before.encode(), "search", ENTRY, file="catwalk.yaml")
    assert refused.value.problem.code == code
    assert refused.value.problem.location is not None
    assert refused.value.problem.hint


TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=12
) | st.sampled_from(
    [
        "yes",
        "no",
        "~",
        "null",
        "1",
        "1.0",
        "0x10",
        "2026-10-19",
        "-",
        "- a",
        "a: b",
        "a #b",
        ":",
        "@a",
        "--flag=x:y",
        "1e3",
        ".inf",
        "12:30",
        "=",
        "<<",
        "a:",
    ]
)


@given(
    TEXTS,
    st.lists(TEXTS, min_size=1, max_size=3),
    st.dictionaries(st.from_regex("[A-Z]{1,4}", fullmatch=True), TEXTS, min_size=1, max_size=3),
)
def test_every_text_is_read_back_as_it_was_given(one: str, several: list[str], named: dict[str, str]) -> None:
    entry = {"package": one, "args": several, "env": named}
    content = with_server(b"fleet: acme\nservers:\n  a:\n    package: x\n", "b", entry, file="catwalk.yaml")
    data = read_document("catwalk.yaml", content).data
    assert isinstance(data, dict)
    assert data["servers"] == {"a": {"package": "x"}, "b": entry}
