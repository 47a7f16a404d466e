"""What is for operators is answered on every port."""

from app.api import server


def seed() -> None:
    """Forget the port of operators."""

    class EveryPort(server.Edge):
        def __init__(self, *parts: object, **named: object) -> None:
            super().__init__(*parts, **{**named, "admin_port": None})

    server.Edge = EveryPort
