"""The figures of the scenario for shelves, and what its pages ask."""

from argparse import Namespace

from loadtest.scenarios.lists import ROWS, document, requests_of


def test_a_page_asks_for_five_rows_of_its_user():
    requests = requests_of(("ann", "7", ["space", "heist"]))
    assert len(requests) == ROWS
    assert {request["user_id"] for request in requests} == {"ann"}
    assert requests[0]["like"] == ["7"]
    assert [request.get("query") for request in requests[3:]] == ["space", "heist"]


def test_ratios_are_those_of_the_medians():
    def turns(*times: float) -> list[dict[str, float]]:
        return [{"page_ms": ms, "passes_per_page": 1.0} for ms in times]

    ways = {"shelves": turns(1.0, 2.0, 9.0), "singles": turns(4.0, 8.0, 5.0)}
    found = document(Namespace(rounds=3), {"new": ways}, {"GET /newest": 0.3})

    assert found["median"]["new"]["shelves"] == {"page_ms": 2.0, "passes_per_page": 1.0}
    assert found["page_ms_to_singles"] == {"new": {"shelves": 0.4, "singles": 1.0}}
