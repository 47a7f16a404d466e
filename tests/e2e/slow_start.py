"""`recserve` whose full garbage collections take half a second, as on a slow machine.

Run as a script by `test_service.py`. The start of the service ends with such a collection.
"""

import gc
import sys
import time

from app.cli import main


def slow(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == 2:
        time.sleep(0.5)
        sys.stderr.write("blocked the start\n")


if __name__ == "__main__":
    gc.callbacks.append(slow)
    sys.exit(main())
