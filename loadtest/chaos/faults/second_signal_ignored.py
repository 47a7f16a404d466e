"""A second signal does nothing."""

from types import FrameType

from app.draining_server import DrainingServer


def seed() -> None:
    """Only ever stop in order."""
    handle = DrainingServer.handle_exit

    def patient(self: DrainingServer, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            handle(self, sig, frame)

    DrainingServer.handle_exit = patient
