"""The recorded trip: only returns in the folder count, by function and by file."""

import sys
from collections import Counter
from pathlib import Path

from app.domain import values
from loadtest.runners.services import ROOT
from loadtest.scenarios.trip import Recorder, document

APP = f"{ROOT / 'app'}/"


def recorded(active: bool) -> Counter[tuple[str, str]]:
    recorder = Recorder(APP, active=active)
    sys.setprofile(recorder.profile)
    try:
        for _ in range(3):
            values.limit_to_now(1.0, now=2.0)
        Path("outside").as_posix()
    finally:
        sys.setprofile(None)
    return recorder.returns


def test_only_returns_of_functions_in_the_folder_count() -> None:
    trip = recorded(active=True)

    assert trip == Counter({("domain/values.py", "limit_to_now"): 3})
    assert recorded(active=False) == Counter()


def test_the_document_sums_up_files_and_functions() -> None:
    trip = Counter({("cli.py", "main"): 1, ("cli.py", "_parser"): 4, ("loading.py", "warm_up"): 2})

    found = document(trip)

    assert (found["files"], found["functions"], found["returns"]) == (2, 3, 7)
    assert found["by_file"]["cli.py"]["returns"] == 5
    assert found["by_file"]["cli.py"]["lines"] == found["longest_file_lines"]
    assert next(iter(found["by_function"].items())) == ("cli.py:_parser", 4)
