"""A client of the YAML language server, as an editor is one: the Language Server Protocol 3.17 over pipes."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.conformance.suite import node
from tests.npm import installed as npm_installed

NODE_FOLDER = Path(__file__).parent / "node"
PROGRAM = NODE_FOLDER / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
PUBLISHED = "textDocument/publishDiagnostics"
Json = dict[str, Any]


@cache
def program() -> Path:
    """The server, installed as its lock file says."""
    npm_installed(NODE_FOLDER)
    return PROGRAM


class Editor:
    """One session with the server; every file is opened once."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[bytes] = process.stdin
        self._output: IO[bytes] = process.stdout
        self._folder = folder
        self._last_id = 0
        self._files = 0

    def __enter__(self) -> Self:
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": {"documentationFormat": ["markdown"], "snippetSupport": True}},
                "hover": {"contentFormat": ["markdown"]},
            }
        }
        self._ask("initialize", {"processId": None, "rootUri": self._folder.as_uri(), "capabilities": capabilities})
        self._tell("initialized", {})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask("shutdown", None)
        self._tell("exit", None)

    def open(self, text: str) -> "OpenFile":
        """Open a new manifest with that text; returns what the server says about it."""
        self._files += 1
        uri = (self._folder / str(self._files) / "catwalk.yaml").as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})
        published = self._until(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri
            )
        )
        return OpenFile(editor=self, uri=uri, text=text, diagnostics=published["params"]["diagnostics"])

    def at(self, method: str, uri: str, line: int, character: int) -> Any:  # noqa: ANN401  # Results differ by method.
        """Ask about a place of a file; lines and characters count from 0."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        return self._ask(method, place)

    def _ask(self, method: str, params: object) -> Any:  # noqa: ANN401  # As above.
        self._last_id += 1
        wanted = self._last_id
        self._send({"jsonrpc": "2.0", "id": wanted, "method": method, "params": params})
        answer = self._until(lambda message: message.get("id") == wanted and "method" not in message)
        assert "error" not in answer, answer
        return answer["result"]

    def _tell(self, method: str, params: object) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _send(self, message: Json) -> None:
        body = json.dumps(message).encode()
        self._input.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._input.flush()

    def _until(self, wanted: Any) -> Json:  # noqa: ANN401  # A predicate over messages.
        while True:
            message = self._receive()
            if "id" in message and "method" in message:
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": self._configuration(message)})
            elif wanted(message):
                return message

    @staticmethod
    def _configuration(request: Json) -> object:
        """The server asks for its settings; the schema is named by the files themselves."""
        if request["method"] != "workspace/configuration":
            return None
        settings = {"yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}}
        return [settings.get(item.get("section", ""), {}) for item in request["params"]["items"]]

    def _receive(self) -> Json:
        size = 0
        while header := self._output.readline().strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        assert size, "the language server ended"
        message: Json = json.loads(self._output.read(size))
        return message


class OpenFile:
    """A file in the editor."""

    def __init__(self, *, editor: Editor, uri: str, text: str, diagnostics: list[Json]) -> None:
        self._editor = editor
        self._uri = uri
        self._text = text
        self.diagnostics = diagnostics

    def completions_at_end(self) -> dict[str, str]:
        """What is proposed at the end of the text: label to explanation."""
        last = self._text.rpartition("\n")[2]
        found = self._editor.at("textDocument/completion", self._uri, self._text.count("\n"), len(last))
        items = found["items"] if isinstance(found, dict) else found or []
        return {item["label"]: _text(item.get("documentation", "")) for item in items}

    def hover(self, word: str) -> str:
        """What is shown over a word."""
        line, character = self._place(word)
        found = self._editor.at("textDocument/hover", self._uri, line, character + 1)
        return _text(found["contents"]) if found else ""

    def _place(self, word: str) -> tuple[int, int]:
        before = self._text[: self._text.index(word)]
        return before.count("\n"), len(before) - before.rfind("\n") - 1


def _text(content: Any) -> str:  # noqa: ANN401  # Markup or plain text.
    return str(content["value"]) if isinstance(content, dict) else str(content)


@contextmanager
def editor(folder: Path) -> Iterator[Editor]:
    """A running server; it is ended with the block."""
    process = subprocess.Popen(
        [*node(), str(program()), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        with Editor(process, folder) as opened:
            yield opened
        process.wait(20)
    finally:
        process.kill()
        process.communicate(timeout=20)
