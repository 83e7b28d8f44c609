"""What a test runs in place of a server: hands everything that it has to the process that `loaded.py` forks for it."""

import json
import os
import socket
import sys
from pathlib import Path


def main() -> int:
    address, *arguments = sys.argv[1:]
    order = {"arguments": arguments, "variables": dict(os.environ), "directory": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(order).encode()], [0, 1, 2])
        # The server alone holds its streams from here on, so that whoever reads them sees them end with it.
        for stream in (0, 1, 2):
            os.close(stream)
        code = int(connection.recv(16) or b"1")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
