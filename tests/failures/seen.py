"""The failures that the patterns were made by."""

from tests.failures.seen_installs import INSTALLS
from tests.failures.seen_programs import PROGRAMS
from tests.failures.seen_servers import SERVERS

SEEN = (*INSTALLS, *SERVERS, *PROGRAMS)
