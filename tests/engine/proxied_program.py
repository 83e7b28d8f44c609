"""A machine program with what tests of the proxy need: a memory, and orders to replay.

proxied_program.py PORT, with the switches of machine_program.py.
"""

import json
import os
import threading
import time

import machine_program

LOCK = threading.Lock()
COUNT = {"answers": 0, "now": 0}


class Handler(machine_program.Handler):
    def do_GET(self):  # noqa: N802 - the name that http.server looks for.
        if not self.ordered():
            super().do_GET()

    def do_POST(self):  # noqa: N802 - the name that http.server looks for.
        if not self.ordered():
            super().do_POST()

    def ordered(self):
        """Answers with the order that the request carries, once, or with `X-Always` every time."""
        again = "fly-replay-src" in self.headers or "fly-replay-failed" in self.headers
        header, body = self.headers.get("x-order"), self.headers.get("x-order-json")
        if not (header or body) or (again and "x-always" not in self.headers):
            return False
        if "x-at-once" not in self.headers:
            self.drop_body()
        content = (body or "an answer nobody sees").encode()
        self.send_response(200)
        if header:
            self.send_header("fly-replay", header)
        else:
            self.send_header("Content-Type", "application/vnd.fly.replay+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        if "x-at-once" in self.headers:
            self.drop_body()
        return True

    def drop_body(self):
        try:
            for _ in self.pieces():
                pass
        except (OSError, ValueError):
            # The proxy has what it needs and has closed.
            self.close_connection = True

    def get_count(self):
        with LOCK:
            COUNT["answers"] += 1
            counted = COUNT["answers"]
        self.answer(200, json.dumps({"answers": counted, "machine": os.environ["FLY_MACHINE_ID"]}))

    def get_together(self):
        """How many such requests were under way in this machine at most, this one included."""
        with LOCK:
            COUNT["now"] += 1
            together = COUNT["now"]
        time.sleep(0.05)
        with LOCK:
            COUNT["now"] -= 1
        self.answer(200, json.dumps({"together": together}))


machine_program.Handler = Handler

if __name__ == "__main__":
    machine_program.main()
