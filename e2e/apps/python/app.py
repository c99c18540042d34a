"""A web app on the standard library and one vendored wheel."""

import http.server
import os
import pathlib
import signal
import threading

from cupola_greeting import greet


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            self.answer(200, greet(os.environ.get("GREETING", "Python")) + "\n")
        elif self.path == "/version":
            self.answer(200, pathlib.Path(__file__).with_name("version.txt").read_text())
        elif self.path == "/health":
            self.answer(200, "ok\n")
        else:
            self.answer(404, "not found\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
# shutdown waits for serve_forever, so it must not be called from the thread that runs it.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(f"listening on {server.server_port}", flush=True)
server.serve_forever()
print("bye", flush=True)
