"""What each serving process sets up for itself, in a process of its own."""

import socket
import subprocess
import sys

import pytest

from app.server_process import check_address

CODE = """
import sys
from app.server_process import application
before = sys.getswitchinterval()
application()
print(before > 2 * sys.getswitchinterval())
print(sorted({"torch", "faiss", "onnxruntime"} & set(sys.modules)))
"""


@pytest.mark.process
def test_the_event_loop_gives_the_interpreter_up_sooner_and_nothing_heavy_is_loaded_yet():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


@pytest.mark.parametrize(
    ("taken", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "localhost"),
        ("::1", "::1"),
        ("::1", "::"),
        ("127.0.0.1", "::"),
        ("::1", ""),
    ],
)
def test_a_taken_address_is_refused_under_every_name(taken, asked):
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    try:
        other = socket.create_server((taken, 0), family=family)
    except OSError as why:
        pytest.skip(f"{taken}: {why}")
    with other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"in use: {asked} port {port}"):
            check_address(asked, port)
    check_address(asked, port)
    with socket.create_server((taken, port), family=family) as ours:
        assert ours.getsockname()[1] == port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", ""])
def test_a_free_port_is_still_free_after_the_check(host):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    check_address(host, port)

    with socket.create_server((host, port)) as ours:
        assert ours.getsockname()[1] == port


EXPORT = """
from app.core.settings import Settings
from app.server_process import export_settings
export_settings(Settings(llm_url="http://h/v1", llm_api_key="very-secret", llm_max_per_minute=7))
again = Settings()
print(again.llm_api_key.get_secret_value(), again.llm_url, again.llm_max_per_minute)
"""


@pytest.mark.process
def test_workers_read_all_settings_from_the_environment_the_key_as_well():
    done = subprocess.run(
        [sys.executable, "-c", EXPORT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["very-secret", "http://h/v1", "7"]


def test_an_unknown_host_is_named():
    with pytest.raises(OSError, match=r"the host no\.such\.host\.invalid: "):
        check_address("no.such.host.invalid", 0)


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(OSError, match=r"address: 192\.0\.2\.1 port 0"):
        check_address("192.0.2.1", 0)
