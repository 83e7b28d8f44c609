"""Adding and removing a recipient in `.sops.yaml`, with everything else there left as it is written."""

from collections.abc import Callable, Collection, Iterator

from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.placed import PlacedMapping, PlacedNode, PlacedScalar, PlacedSequence, Style
from reconciler.sops.writing.yaml_text import double_quoted

_Change = Callable[[tuple[str, ...]], tuple[str, ...]]


def with_rule_recipient(content: bytes, recipient: str, *, rules: Collection[int], file: str) -> bytes:
    """The file with one more age recipient in the rules of these numbers, from 0.

    Raises:
        CannotEdit: the recipients of a rule are written in a form that is not known here.
        CatwalkError: the file cannot be read.
    """
    return _changed(content, file, rules, lambda names: names if recipient in names else (*names, recipient))


def without_rule_recipient(content: bytes, recipient: str, *, rules: Collection[int], file: str) -> bytes:
    """The file without an age recipient in these rules; raises as `with_rule_recipient`."""
    return _changed(content, file, rules, lambda names: tuple(name for name in names if name != recipient))


def _changed(content: bytes, file: str, rules: Collection[int], change: _Change) -> bytes:
    source = FileText.read(content, file)
    splices: list[Splice] = []
    for index, rule in _rules(source):
        entry = rule.find("age") if index in rules else None
        if entry is not None:
            splices += _splices(source, entry.value, change)
    changed = source.spliced(splices)
    FileText.read(changed.to_bytes(), file)
    return changed.to_bytes()


def _rules(source: FileText) -> Iterator[tuple[int, PlacedMapping]]:
    root = source.documents()[0].root
    entry = root.find("creation_rules") if isinstance(root, PlacedMapping) else None
    if entry is None or not isinstance(entry.value, PlacedSequence):
        return
    for index, item in enumerate(entry.value.items):
        if isinstance(item, PlacedMapping):
            yield index, item


def _splices(source: FileText, node: PlacedNode, change: _Change) -> list[Splice]:
    if isinstance(node, PlacedScalar):
        names = tuple(name.strip() for name in node.content.decode("utf-8").split(",") if name.strip())
        wanted = change(names)
        return [] if wanted == names else [Splice(start=node.start, end=node.end, text=_text(source, node, wanted))]
    if not isinstance(node, PlacedSequence) or not all(isinstance(item, PlacedScalar) for item in node.items):
        message = "the age recipients of a rule are neither a text nor a list of texts"
        place = source.location(node.start)
        raise CannotEdit("sops-cannot-edit", message, hint="change the rule by hand", location=place)
    items = [(item, item.content.decode("utf-8").strip()) for item in node.items if isinstance(item, PlacedScalar)]
    names = tuple(name for _, name in items)
    wanted = change(names)
    if wanted == names:
        return []
    if node.in_flow:
        text = ", ".join(double_quoted(name) for name in wanted)
        return [Splice(start=node.start, end=node.end, text=f"[{text}]")]
    gone = [_line_of(source, item) for item, name in items if name not in wanted]
    return [*gone, *_lines_behind(source, node, [name for name in wanted if name not in names])]


def _text(source: FileText, node: PlacedScalar, names: tuple[str, ...]) -> str:
    if node.style is Style.BLOCK:
        first = source.text.index("\n", node.start) + 1
        line = source.text[first : source.line_end(first)]
        margin = line[: len(line) - len(line.lstrip())]
        return ">-\n" + ",\n".join(margin + name for name in names) + "\n"
    joined = ",".join(names)
    if node.style is Style.SINGLE:
        return f"'{joined}'"
    return joined if node.style is Style.PLAIN and not node.in_flow else double_quoted(joined)


def _line_of(source: FileText, item: PlacedScalar) -> Splice:
    return Splice(start=source.line_start(item.start), end=source.line_end(item.end), text="")


def _lines_behind(source: FileText, node: PlacedSequence, names: list[str]) -> Iterator[Splice]:
    if not names:
        return
    margin = " " * source.column(node.start)
    place = source.line_end(node.end)
    text = "".join(f"{margin}- {name}\n" for name in names)
    ended = source.text[:place].endswith("\n")
    yield Splice(start=place, end=place, text=text if ended else "\n" + text.rstrip("\n"))
