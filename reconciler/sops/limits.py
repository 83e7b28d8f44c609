"""How much a SOPS file may ask of this process. Files come from whoever can push, so every size has a bound.

The bounds are far above what people keep in one secret file, and low enough that the worst file costs seconds, not the
service.
"""

from typing import Final

MAXIMUM_FILE_BYTES: Final = 5 * 1024 * 1024
"""The limit of Flux, so that a file which works there works here."""
MAXIMUM_DEPTH: Final = 100
"""Nested mappings and sequences."""
MAXIMUM_NODES: Final = 100_000
"""Scalars, mappings and sequences of a file, every use of an alias counted as often as it is used."""
MAXIMUM_KEY_CHARACTERS: Final = 1_024
"""Rules search every key, so that their length costs time. YAML has the same limit for keys on one line."""
MAXIMUM_ALIASES: Final = 1_000
MAXIMUM_RECIPIENTS: Final = 200
"""Over all key groups; every one may cost an asymmetric operation for every identity."""
MAXIMUM_KEY_GROUPS: Final = 32
MAXIMUM_SERVICE_CALLS: Final = 60
"""For one file, over all key services: each call may start a program or cross a network."""
MAXIMUM_WRAPPED_KEY_CHARACTERS: Final = 64 * 1024
MAXIMUM_PATTERN_CHARACTERS: Final = 1_000
MAXIMUM_PATTERN_BYTES_OF_MEMORY: Final = 2 * 1024 * 1024
"""What RE2 may take to compile and to match one pattern; a rule that people write takes some kilobytes."""
MAXIMUM_KEY_FILE_BYTES: Final = 1024 * 1024
