"""Adding and removing a recipient in `.sops.yaml`, with everything else there left as it is written."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService
from reconciler.sops.writing.entries import lines_behind
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.placed import PlacedMapping, PlacedNode, PlacedScalar, PlacedSequence, Style
from reconciler.sops.writing.recipients import written_name
from reconciler.sops.writing.yaml_text import double_quoted

_Joined = Callable[[tuple[str, ...]], tuple[str, ...]]
_Change = Callable[[tuple[str, ...], str], tuple[str, ...]]
_FIELDS: Final[Mapping[KeyService, str]] = {
    KeyService.AGE: "age",
    KeyService.PGP: "pgp",
    KeyService.AWS_KMS: "kms",
    KeyService.GCP_KMS: "gcp_kms",
    KeyService.VAULT: "hc_vault_transit_uri",
}


def with_rule_recipient(content: bytes, key: MasterKey, *, rules: Collection[int], file: str) -> bytes:
    """The file with one more recipient in the rules of these numbers, from 0.

    Raises:
        CannotEdit: the recipients of a rule are written in a form that is not known here, or are in key groups.
        CatwalkError: the file cannot be read.
    """
    return _changed(content, key, rules, file, lambda names, name: names if name in names else (*names, name))


def without_rule_recipient(content: bytes, key: MasterKey, *, rules: Collection[int], file: str) -> bytes:
    """The file without a recipient in these rules; raises as `with_rule_recipient`."""
    return _changed(content, key, rules, file, lambda names, name: tuple(each for each in names if each != name))


def _changed(content: bytes, key: MasterKey, rules: Collection[int], file: str, change: _Change) -> bytes:
    source = FileText.read(content, file)
    name = written_name(key)
    splices: list[Splice] = []
    for index, rule in _rules(source):
        if index in rules:
            splices += _rule_splices(source, rule, _FIELDS[key.service], lambda names: change(names, name))
    changed = source.spliced(splices)
    FileText.read(changed.to_bytes(), file)
    return changed.to_bytes()


def _rule_splices(source: FileText, rule: PlacedMapping, field: str, change: _Joined) -> list[Splice]:
    if rule.find("key_groups") is not None:
        message = "this rule has key groups, and it is not known which group is meant"
        hint = "change the groups by hand, and run `catwalk secrets rotate`"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(rule.start))
    entry = rule.find(field)
    if entry is not None:
        return _splices(source, entry.value, change)
    added = change(())
    if not added:
        return []
    if rule.in_flow:
        message = "this rule is written on one line"
        hint = f"add {field}: {added[0]} to it by hand"
        raise CannotEdit("sops-cannot-edit", message, hint=hint, location=source.location(rule.start))
    return [lines_behind(source, rule, [f"{field}: {double_quoted(added[0])}"])]


def _rules(source: FileText) -> Iterator[tuple[int, PlacedMapping]]:
    root = source.documents()[0].root
    entry = root.find("creation_rules") if isinstance(root, PlacedMapping) else None
    if entry is None or not isinstance(entry.value, PlacedSequence):
        return
    for index, item in enumerate(entry.value.items):
        if isinstance(item, PlacedMapping):
            yield index, item


def _splices(source: FileText, node: PlacedNode, change: _Joined) -> list[Splice]:
    if isinstance(node, PlacedScalar):
        names = tuple(name.strip() for name in node.content.decode("utf-8").split(",") if name.strip())
        wanted = change(names)
        return [] if wanted == names else [Splice(start=node.start, end=node.end, text=_text(source, node, wanted))]
    if not isinstance(node, PlacedSequence) or not all(isinstance(item, PlacedScalar) for item in node.items):
        message = "the recipients of a rule are neither a text nor a list of texts"
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
