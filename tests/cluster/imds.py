"""The metadata service of spot instances: `python imds.py FOLDER`, at port 5001.

Whoever asks is a spot instance, and is told that it ends in two minutes once FOLDER has a file
named as its address.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._say("a token")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "a token":
            self.send_error(401)
        elif self.path.endswith("/instance-life-cycle"):
            self._say("spot")
        elif (
            self.path.endswith("/spot/instance-action")
            and (Path(sys.argv[1]) / self.client_address[0]).exists()
        ):
            end = datetime.now(UTC) + timedelta(minutes=2)
            self._say(json.dumps({"action": "terminate", "time": f"{end:%Y-%m-%dT%H:%M:%SZ}"}))
        else:
            self.send_error(404)

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 5001), Handler).serve_forever()
