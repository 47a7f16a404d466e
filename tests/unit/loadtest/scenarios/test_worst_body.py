"""The search for the worst body: what it draws, and that it would see a loop that is held."""

import random
import time
from typing import Any

from loadtest.runners.hard_bodies import changed, drawn, known_to_be_hard, new_tape
from loadtest.runners.held_loop import held_server
from loadtest.scenarios.worst_body import Search

MIB = 1_048_576


def test_a_tape_is_one_request_and_all_routes_are_drawn() -> None:
    rng = random.Random(1)
    tapes = [new_tape(rng) for _ in range(120)]
    tapes += [changed(tape, rng) for tape in tapes[:30]]
    found = [drawn(tape) for tape in tapes]

    again = [drawn(tape) for tape in tapes[:20]]
    assert [(each.shape, each.path) for each in again] == [
        (each.shape, each.path) for each in found[:20]
    ]
    assert all(len(hard.body) <= MIB for hard in found)
    assert {"recommend", "batch", "items", "events", "rules", "shelves"} <= {
        hard.shape for hard in found
    }


def test_what_was_hard_once_is_tried_first() -> None:
    shapes = [hard.shape for hard in known_to_be_hard()]
    assert shapes == ["many values", "forged cursors", "unknown names", "marks", "many kinds"]


async def _busy(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    end = time.thread_time() + (0.05 if scope["path"] != "/livez" else 0.0)
    while time.thread_time() < end:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_a_turn_of_the_loop_that_takes_long_is_seen() -> None:
    search = Search(random.Random(1))
    with held_server(_busy) as server:
        search.note(server, known_to_be_hard()[0], [0.5] * 48)
        (found,) = search.top()

    assert found.status == 200
    assert found.held_s >= 0.05
    assert search.failed == []
