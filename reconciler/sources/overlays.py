"""Environments: `catwalk.staging.yaml` laid over the `catwalk.yaml` beside it.

An overlay states what is different and nothing else. Mappings are merged key by key, lists and single values are
replaced as a whole, and a key without a value removes what the manifest below states. Every node keeps the place where
a person wrote it, so that a problem points into the file that must change. The metadata of SOPS is never merged: each
file is encrypted by itself.
"""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from reconciler.core.problems import Location, Problem
from reconciler.sources.layout import MANIFEST_NAME, environment_of_file, overlay_file
from reconciler.sources.yaml_nodes import Document, Path, Value

SOPS: Final[Path] = ("sops",)


def environments(files: Iterable[str]) -> tuple[str, ...]:
    """The environments that overlays among the files are for, sorted."""
    return tuple(sorted({found for found in map(environment_of_file, files) if found}))


def overlay_problems(files: Iterable[str], environment: str) -> Iterator[Problem]:
    """What is wrong with the overlays of an environment before any is read."""
    names = set(files)
    overlays = sorted(name for name in names if environment_of_file(name) == environment)
    if not overlays:
        yield _unknown_environment(environment, environments(names))
    for overlay in overlays:
        manifest = posixpath.join(posixpath.dirname(overlay), MANIFEST_NAME)
        if manifest not in names:
            yield Problem(
                code="overlay-without-manifest",
                message=f"there is no {MANIFEST_NAME} beside this overlay",
                hint=f"overlays state what differs from the {MANIFEST_NAME} in the same folder: add one, or move it",
                location=Location(file=overlay),
            )


def overlay_warnings(documents: Iterable[Document], environment: str) -> Iterator[Problem]:
    """That an environment would act on the fleet of the manifests themselves."""
    stated = {document.place(("fleet",)).file for document in documents if environment}
    overlays = sorted(file for file in stated if environment_of_file(file))
    if stated and not overlays:
        first = min(stated)
        yield Problem(
            code="overlay-keeps-fleet",
            message=f"the environment `{environment}` keeps the name of the fleet, and so acts on the same apps as the "
            "manifests alone",
            hint="state a `fleet` in the overlay, such as its name with the environment, or the same one on purpose",
            location=Location(file=overlay_file(first, environment)),
        )


def _unknown_environment(environment: str, known: tuple[str, ...]) -> Problem:
    near = get_close_matches(environment, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are overlays for {', '.join(known) or 'no environment'}"
    return Problem(
        code="unknown-environment",
        message=f"no manifest has an overlay `{overlay_file('', environment)}`",
        hint=hint,
    )


def overlaid(base: Document, overlay: Document) -> Document:
    """The manifest with its overlay merged in. Both must be mappings."""
    merging = _Merging(overlay=overlay, values=dict(base.values), keys=dict(base.keys))
    data = merging.merged(base.data, overlay.data, ())
    return Document(
        file=base.file,
        data=data,
        values=merging.values,
        keys=merging.keys,
        problems=(*base.problems, *overlay.problems),
        with_sops=base.with_sops | overlay.with_sops,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merging:
    """Merges one overlay, and the places of its nodes with it."""

    overlay: Document
    values: dict[Path, Location]
    keys: dict[Path, Location]

    def merged(self, below: Value, above: Value, path: Path) -> Value:
        if not (isinstance(below, dict) and isinstance(above, dict)):
            self._forget(below, path)
            self._adopt(above, path)
            return above
        result = dict(below)
        for key, value in above.items():
            inner = (*path, key)
            if inner == SOPS:
                continue
            if value is None and key in below:
                self._forget(result.pop(key), inner)
            elif key in below:
                result[key] = self.merged(below[key], value, inner)
            else:
                self._adopt(value, inner)
                result[key] = value
        return result

    def _forget(self, value: Value, path: Path) -> None:
        for inner in _paths(value, path):
            self.values.pop(inner, None)
            self.keys.pop(inner, None)

    def _adopt(self, value: Value, path: Path) -> None:
        for inner in _paths(value, path):
            if (place := self.overlay.values.get(inner)) is not None:
                self.values[inner] = place
            if (place := self.overlay.keys.get(inner)) is not None:
                self.keys[inner] = place


def _paths(value: Value, path: Path) -> Iterator[Path]:
    """The path of a value and of everything in it."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*path, number))
