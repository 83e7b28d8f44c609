"""Changes to a file in clear, or to the clear part of one: a key without a value, and a value before it is encrypted.

The second keeps plaintext in memory only; its result goes straight to `creation.encrypt`.
"""

from reconciler.core.secret import SecretValue
from reconciler.sops.rules import AppearanceRule
from reconciler.sops.writing.entries import Addition, added
from reconciler.sops.writing.errors import CannotEdit
from reconciler.sops.writing.file_text import FileText, Splice
from reconciler.sops.writing.placed import PlacedScalar, slots
from reconciler.sops.writing.yaml_text import double_quoted


def with_empty_key(content: bytes, path: tuple[str, ...], *, file: str) -> bytes:
    """The file with a key that has no value; SOPS counts such a key in no MAC.

    Raises:
        CannotEdit: the key is there, or something that is no mapping stands on the path.
        CatwalkError: the file cannot be read.
    """
    source = FileText.read(content, file)
    changed = source.spliced(added(source, source.documents()[0], Addition(path=path, value="")))
    return _readable(changed)


def with_clear_value(content: bytes, path: tuple[str, ...], value: SecretValue, *, file: str) -> bytes:
    """The file with a text in clear at `path`, whose key may be there or not. Never write the result to a disk.

    Raises:
        CannotEdit: something else than one value stands there.
        CatwalkError: the file cannot be read.
    """
    source = FileText.read(content, file)
    documents = source.documents()
    written = double_quoted(value.reveal())
    slot = next((each for each in slots(documents, AppearanceRule()) if each.path == path and not each.document), None)
    if slot is None:
        return _readable(source.spliced(added(source, documents[0], Addition(path=path, value=written))))
    node = slot.node
    if not isinstance(node, PlacedScalar) or node.anchored:
        message = "an anchor or alias stands where the value goes"
        raise CannotEdit("sops-cannot-edit", message, hint="write it out", location=source.location(node.start))
    text = f" {written}" if node.start == node.end else written
    return _readable(source.spliced([Splice(start=node.start, end=node.end, text=text)]))


def _readable(changed: FileText) -> bytes:
    content = changed.to_bytes()
    FileText.read(content, changed.file)
    return content
