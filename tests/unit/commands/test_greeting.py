"""What `recserve demo` says once it answers."""

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from app.commands.greeting import greeting, words_of
from app.core.settings import Settings
from tests.redis_server import free_port


class Said(io.StringIO):
    """A stream that sets an event when it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.some = threading.Event()

    def flush(self) -> None:
        self.some.set()


class StartingService(BaseHTTPRequestHandler):
    """Is not ready at the first two requests."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.asked > 2 and self.path == "/readyz" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_it_is_said_once_when_the_service_is_ready() -> None:
    with HTTPServer(("127.0.0.1", 0), StartingService) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings, out = Settings(port=server.server_port), Said()
        with greeting(settings, out):
            assert out.some.wait(20)
        server.shutdown()
        thread.join()
    assert StartingService.asked == 3
    assert out.getvalue() == words_of(settings) + "\n"


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_said_of_a_service_that_never_answers(known: bool) -> None:
    out = Said()
    with greeting(Settings(port=free_port() if known else 0), out):
        pass
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("shop.example", "http://shop.example:8000"),
    ],
)
def test_it_names_the_address_the_page_and_a_request(host: str, address: str) -> None:
    said = words_of(Settings(host=host))
    assert f"recserve answers at {address}\n" in said
    assert f"{address}/docs\n" in said
    assert f"curl -s {address}/recommend " in said
