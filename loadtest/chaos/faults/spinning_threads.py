"""Four more threads work without end, as a pool does whose idle threads spin."""

import hashlib
import threading


def seed() -> None:
    """Start them; they do not hold the lock of the interpreter while they work."""
    for number in range(4):
        threading.Thread(target=_spin, name=f"spin-{number}", daemon=True).start()


def _spin() -> None:
    block = bytes(1 << 22)
    while True:
        hashlib.sha256(block).digest()
