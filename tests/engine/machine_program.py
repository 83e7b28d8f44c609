"""The program that test machines run: an HTTP server of the standard library with a few switches.

machine_program.py PORT [--exit CODE] [--deaf] [--print TEXT] [--forever-child]
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

RELEASED = threading.Event()
LEFT = threading.Event()
SLEEPER = "import time; time.sleep(3600)"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        getattr(self, f"get_{self.path.strip('/').split('?')[0]}", self.get_other)()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for.

    def get_health(self):
        self.answer(int(os.environ.get("HEALTH_STATUS", "200")), os.environ.get("HEALTH_BODY", '{"state":"ready"}'))

    def get_env(self):
        self.answer(
            200, json.dumps({"env": dict(os.environ), "argv": sys.argv, "cwd": str(Path.cwd()), "pid": os.getpid()})
        )

    def get_headers(self):
        self.answer(200, json.dumps([[name.lower(), value] for name, value in self.headers.items()]))

    def get_exit(self):
        os._exit(int(self.path.partition("?")[2]))

    def get_release(self):
        RELEASED.set()
        self.answer(200, "released")

    def get_left(self):
        self.answer(200 if LEFT.wait(10) else 504, "left")

    def get_events(self):
        """One event at once, the second when /release was asked for."""
        self.begin_stream()
        self.piece(b"data: one\n\n")
        RELEASED.wait(10)
        self.piece(b"data: two\n\n")
        self.piece(b"")

    def get_endless(self):
        self.begin_stream()
        try:
            while True:
                self.piece(b"data: again\n\n")
                time.sleep(0.02)
        except OSError:
            LEFT.set()
            self.close_connection = True

    def get_until_close(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
        self.close_connection = True

    def get_broken(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        self.close_connection = True

    def get_nonsense(self):
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
        self.close_connection = True

    def get_other(self):
        self.answer(200, f"hello from {os.environ.get('FLY_MACHINE_ID')}")

    def do_POST(self):
        """Gives back how much came, and the first and last character, without keeping it."""
        size, first, last = 0, b"", b""
        for piece in self.pieces():
            size += len(piece)
            first, last = first or piece[:1], piece[-1:]
        self.answer(200, json.dumps({"size": size, "first": first.decode(), "last": last.decode()}))

    def pieces(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("content-length", "0"))
        while left:
            piece = self.rfile.read(min(left, 65536))
            left -= len(piece)
            yield piece

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def piece(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def leave_child(*, session):
    subprocess.Popen([sys.executable, "-S", "-c", SLEEPER], start_new_session=session)


def main():
    port, *words = sys.argv[1:]
    for word, value in zip(words, [*words[1:], ""], strict=False):
        if word == "--print":
            print(value, flush=True)
        elif word == "--lines":
            sys.stdout.write("".join(f"line {number}\n" for number in range(int(value))))
            sys.stdout.flush()
        elif word == "--deaf":
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        elif word == "--children":
            leave_child(session=False)
            leave_child(session=True)
        elif word == "--exit":
            sys.exit(int(value))
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
