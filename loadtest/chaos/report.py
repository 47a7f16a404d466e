"""Writes docs/reliability.md from the results of the trials."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from loadtest.chaos.faulty_service import about
from loadtest.chaos.requirements import REQUIREMENTS
from loadtest.chaos.trial import Trial

Document = Mapping[str, Any]

_INTRO: Final = """# Reliability

What the service promises under overload, faults and attacks, and the trial that shows each promise.
Users of comparable servers have reported failures of these kinds; 44 requirements follow from them.
`make chaos` runs all trials with real processes, a real Redis behind a proxy that breaks
connections, and writes this page. Do not edit it by hand.

- A trial has a *pass line*: what has to be measured. A figure beside it was measured on the day and
  at the commit of its row.
- A trial that cannot fail shows nothing. So parts of the service are swapped for broken ones
  ([seeded faults](#seeded-faults)), and the trial has to find that. A fault that is not found
  fails the run.
- `make test` runs a short form of the trials. It judges counts, order and values, but no times.
"""
_HOW: Final = """## How to run it

    make chaos                                           # everything; writes this page
    .venv/bin/python -m loadtest.chaos --list            # the trials and their seeded faults
    .venv/bin/python -m loadtest.chaos --only overload   # a group, or a trial
    .venv/bin/python -m loadtest.chaos --fault NAME      # the trials that must find this fault
"""


def page(document: Document, trials: Sequence[Trial]) -> str:
    """Return the page. Trials without a result are shown as not run."""
    rows = {(row["trial"], row["fault"]): row for row in document["rows"]}
    return "\n".join(
        [
            _INTRO,
            f"{_summary(rows, trials)}\n",
            "## Requirements\n",
            "\n".join(_requirements(rows, trials)) + "\n",
            "## Beyond the requirements\n",
            "\n".join(_beyond(rows, trials)) + "\n",
            "## Seeded faults\n",
            "\n".join(_faults(rows, trials)) + "\n",
            "## Not met\n",
            "\n".join(_not_met(rows, trials)) + "\n",
            _machine(document),
            _HOW,
        ]
    )


def _summary(rows: Mapping[Any, Document], trials: Sequence[Trial]) -> str:
    met = sum(_met(number, rows, trials) for number in REQUIREMENTS)
    seeded = [(trial.name, fault) for trial in trials for fault in trial.faults]
    found = sum(bool(key in rows and rows[key]["green"]) for key in seeded)
    return (
        f"**{met} of {len(REQUIREMENTS)} requirements are met**, by {len(trials)} trials. "
        f"{found} of {len(seeded)} runs with a seeded fault found it."
    )


def _met(number: int, rows: Mapping[Any, Document], trials: Sequence[Trial]) -> bool:
    """Return whether a requirement has trials, and all are green."""
    own = [trial for trial in trials if number in trial.requirements]
    green = all((t.name, None) in rows and rows[t.name, None]["green"] for t in own)
    return bool(own) and green


def _requirements(rows: Mapping[Any, Document], trials: Sequence[Trial]) -> Iterable[str]:
    yield "| | requirement | trial | pass line | measured | |"
    yield "|---:|---|---|---|---|---|"
    for number, title in REQUIREMENTS.items():
        own = [trial for trial in trials if number in trial.requirements]
        if not own:
            yield f"| {number} | {title} | none | | | **no** |"
        for place, trial in enumerate(own):
            head = f"{number} | {title}" if place == 0 else " | "
            yield f"| {head} | {_row_of(trial, rows)}"


def _beyond(rows: Mapping[Any, Document], trials: Sequence[Trial]) -> Iterable[str]:
    more = [trial for trial in trials if not trial.requirements]
    if not more:
        yield "Nothing more is tried."
        return
    yield "| trial | pass line | measured | |"
    yield "|---|---|---|---|"
    for trial in more:
        yield f"| {_row_of(trial, rows)}"


def _row_of(trial: Trial, rows: Mapping[Any, Document]) -> str:
    """Return the cells of a trial: promise, pass line, figure, and whether it passed."""
    row = rows.get((trial.name, None))
    measured = "" if row is None else _measured(row)
    shown = f"`{trial.name}`: {_cell(trial.promise)} | {_cell(trial.pass_line)}"
    return f"{shown} | {measured} | {_state(row)} |"


def _state(row: Document | None) -> str:
    if row is None:
        return "not run"
    return "yes" if row["green"] else "**no**"


def _measured(row: Document) -> str:
    return f"{_cell(row['figure'])} ({row['date']}, `{row['commit']}`)"


def _faults(rows: Mapping[Any, Document], trials: Sequence[Trial]) -> Iterable[str]:
    yield "| fault | what is broken | trial | what the trial measured | found |"
    yield "|---|---|---|---|---|"
    for trial in trials:
        for fault in trial.faults:
            row = rows.get((trial.name, fault))
            figure = "" if row is None else _cell(row["figure"])
            head = f"`{fault}` | {_cell(about(fault))} | `{trial.name}`"
            yield f"| {head} | {figure} | {_state(row)} |"


def _not_met(rows: Mapping[Any, Document], trials: Sequence[Trial]) -> Iterable[str]:
    none = True
    for number, title in REQUIREMENTS.items():
        if not _met(number, rows, trials):
            none = False
            own = [trial for trial in trials if number in trial.requirements]
            reasons = [reason for trial in own if (reason := _why_not(trial, rows))]
            yield f"- **{number}. {title}.** {' '.join(reasons) or 'No trial shows it.'}"
    for trial in trials:
        row = rows.get((trial.name, None))
        if not trial.requirements and not (row is not None and row["green"]):
            none = False
            yield f"- **`{trial.name}`: {trial.promise}.** {_why_not(trial, rows)}"
    if none:
        yield "Nothing."


def _why_not(trial: Trial, rows: Mapping[Any, Document]) -> str:
    """Return what keeps a trial from being green, "" where nothing does."""
    row = rows.get((trial.name, None))
    if row is None:
        return f"`{trial.name}` was not run."
    if row["green"]:
        return ""
    return trial.not_met or f"`{trial.name}` is red: {_cell(row['figure'])}."


def _machine(document: Document) -> str:
    about_it = document["machine"]
    return (
        f"The newest rows were measured on {about_it['cpu']}, {about_it['cores']} cores, "
        f"{about_it['memory_gib']:.0f} GiB, Python {about_it['python']}; seed {document['seed']}. "
        "Rows of another day may be of another machine.\n"
    )


def _cell(text: str) -> str:
    """Return a text as it may stand in a cell of a table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())[:400]
