"""An OpenAI-compatible endpoint that answers each query with the intent that a test has for it.

It stands for a language model that is always right. So it shows what the mechanism around the model
does, apart from the model.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def label_endpoint(intents: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Serve the intents, by query, while the block runs; yields the base URL.

    A query that is not there gets an empty intent.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            query = json.loads(body["messages"][-1]["content"])["query"]
            text = json.dumps(intents.get(query, {}))
            reply = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
