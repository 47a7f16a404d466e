"""A program that uses the generated client; `tests/e2e/test_clients.py` checks and runs it.

    python shop.py http://127.0.0.1:8000 KEY

It prints what it was told, as JSON.
"""

import json
import sys

from recserve_client import AuthenticatedClient
from recserve_client.api.events import send_events
from recserve_client.api.items import get_item
from recserve_client.api.recommendations import recommend
from recserve_client.models import (
    Answer,
    ErrorAnswer,
    EventsAnswer,
    Item,
    RecommendRequest,
    SentEvent,
)


def main(url: str, key: str) -> None:
    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)

    answer = recommend.sync(client=client, body=RecommendRequest(query="crime", k=2))
    assert isinstance(answer, Answer)

    event = SentEvent(user_id="ann", item_id=answer.items[0].id, event="purchase", value=9.5)
    stored = send_events.sync(client=client, body=[event])
    assert isinstance(stored, EventsAnswer)

    item = get_item.sync(answer.items[0].id, client=client)
    assert isinstance(item, Item)

    categories = item.fields["categories"]
    assert isinstance(categories, list)

    refused = recommend.sync(client=client, body=RecommendRequest(k=0))
    assert isinstance(refused, ErrorAnswer)

    told = {
        "titles": sorted(str(found.title) for found in answer.items),
        "cache": answer.cache,
        "accepted": stored.accepted,
        "category": categories[0],
        "error": [refused.error.code, refused.error.field],
    }
    print(json.dumps(told))


main(*sys.argv[1:])
