"""The failures that were recorded after the patterns stood, to see what they are worth elsewhere."""

from tests.failures.provoked import Provoked

HELD_OUT: tuple[Provoked, ...] = ()
