"""What each serving process sets up for itself, in a process of its own."""

import subprocess
import sys

CODE = """
import sys
from app.server_process import application
before = sys.getswitchinterval()
application()
print(before > 2 * sys.getswitchinterval())
print(sorted({"torch", "faiss", "onnxruntime"} & set(sys.modules)))
"""


def test_the_event_loop_gives_the_interpreter_up_sooner_and_nothing_heavy_is_loaded_yet():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]
