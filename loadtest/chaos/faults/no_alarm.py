"""No alarm ends a process whose event loop hangs."""

import faulthandler


def seed() -> None:
    """Never set the alarm."""

    def never(*_: object, **__: object) -> None:
        pass

    faulthandler.dump_traceback_later = never
