"""The failures that were recorded after the patterns stood, to see what they are worth elsewhere."""

from tests.failures.held_out_programs import PROGRAMS
from tests.failures.held_out_servers import SERVERS

HELD_OUT = (*SERVERS, *PROGRAMS)
