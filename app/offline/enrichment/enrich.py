"""Enriches the items of a file: asks a language model about batches of them, and adds columns.

    items ─▶ batches ─▶ a few calls at a time ─▶ part file ─▶ the items with their new columns

A run that was stopped goes on where it was. An item of which the model says nothing that can be
used keeps its row, without the new columns.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from app.core.errors import LanguageModelError
from app.core.ports import LanguageModel
from app.offline.enrichment.item_file import ItemFiles, PartFile
from app.offline.enrichment.questions import PROMPT_VERSION, Enriched, answers_in, question
from app.offline.input.files.readers import Cells

AT_ONCE: Final = 4
"""Calls that run at the same time."""

_TRIES: Final = 4
_PAUSE_S: Final = 2.0
_CHARACTERS_PER_TOKEN: Final = 4
_TOKENS_PER_ANSWER: Final = 90
_TOKENS_PER_S: Final = 50.0
_OF_THE_ANSWER: Final = frozenset({"wrong_json", "too_large"})
"""Reasons of failures that lie in what was asked: fewer items at a time may help."""

T = TypeVar("T")
_Item = tuple[str, Cells]


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in any currency: of the prompt, and of the answer."""

    prompt: float = 0.0
    answer: float = 0.0

    def cost(self, prompt_tokens: float, answer_tokens: float) -> str:
        """Return what some tokens cost, as a part of a sentence; "" without prices."""
        if not self.prompt and not self.answer:
            return ""
        cost = (self.prompt * prompt_tokens + self.answer * answer_tokens) / 1e6
        return f", cost {cost:,.2f}"


@dataclass(frozen=True, slots=True)
class EnrichOptions:
    """How a run goes: items in one call, prices to show the cost by."""

    batch: int = 8
    prices: Prices = field(default_factory=Prices)


@dataclass(slots=True)
class SpentTokens:
    """What the endpoint says that it has read and written."""

    prompt: int = 0
    answer: int = 0


@dataclass
class Enrichment:
    """One run.

    Attributes:
        files: what is read and written.
        model: is asked.
        name: of the model; a run is resumed with the same one only.
        options: how it goes.
        say: shows a line of progress.
        clock: monotonic seconds.
        sleep: waits so many seconds.
        tokens: counted so far.
    """

    files: ItemFiles
    model: LanguageModel
    name: str
    options: EnrichOptions = field(default_factory=EnrichOptions)
    say: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tokens: SpentTokens = field(default_factory=SpentTokens)

    async def run(self) -> str:
        """Enrich all items that are not done yet, write the file, and return a sentence.

        Raises:
            UsageError, BadDataError: as `ItemFiles`.
            LanguageModelError: the model cannot be asked; what is done stays in the part file.
        """
        self.files.check()
        n = sum(name is not None for name, _ in self.files.rows())
        belongs_to = {"items": self.files.items.name, "model": self.name, "prompt": PROMPT_VERSION}
        start = self.clock()
        with PartFile(self.files.part, belongs_to) as part:
            before = len(part.done)
            for batches in _in_parts(self._batches(part.done), AT_ONCE):
                outcomes = await asyncio.gather(*map(self._asked, batches), return_exceptions=True)
                answers = [each for each in outcomes if not isinstance(each, BaseException)]
                part.add({name: columns for each in answers for name, columns in each.items()})
                for error in outcomes:
                    if isinstance(error, BaseException):
                        raise _stopped(error, len(part.done), n)
                self._show(len(part.done) - before, len(part.done), n, self.clock() - start)
            done = part.done
        self.files.write(done)
        empty = sum(not columns for columns in done.values())
        return (
            f"{n:,} items, {n - empty:,} enriched, {empty:,} without an answer; "
            f"{self.tokens.prompt:,} + {self.tokens.answer:,} tokens"
            f"{self.options.prices.cost(self.tokens.prompt, self.tokens.answer)}"
        )

    def _batches(self, done: dict[str, Enriched]) -> Iterator[Sequence[_Item]]:
        known = frozenset(done)
        left = (
            (name, cells)
            for name, cells in self.files.rows()
            if name is not None and name not in known
        )
        yield from _in_parts(left, self.options.batch)

    async def _asked(self, items: Sequence[_Item]) -> dict[str, Enriched]:
        """Return the new columns of some items; empty where the model says nothing of use."""
        try:
            found = await self._answers(items)
        except LanguageModelError as error:
            if error.reason not in _OF_THE_ANSWER:
                raise
            if len(items) == 1:
                return {items[0][0]: {}}
            half = len(items) // 2
            return {**await self._asked(items[:half]), **await self._asked(items[half:])}
        return {name: found.get(number, {}) for number, (name, _) in enumerate(items)}

    async def _answers(self, items: Sequence[_Item]) -> dict[int, Enriched]:
        """Ask about some items; what may pass is tried again."""
        asked = question([cells for _, cells in items])
        for attempt in range(_TRIES):
            try:
                answer = await self.model.ask(asked)
            except LanguageModelError as error:
                if error.reason in _OF_THE_ANSWER or attempt == _TRIES - 1:
                    raise
                await self.sleep(error.retry_after_s or _PAUSE_S * 4**attempt)
            else:
                self.tokens.prompt += answer.prompt_tokens
                self.tokens.answer += answer.answer_tokens
                return answers_in(answer.content, len(items))
        raise AssertionError("unreachable")

    def _show(self, new: int, done: int, n: int, seconds: float) -> None:
        left_s = seconds / max(new, 1) * (n - done)
        self.say(
            f"{done:,} of {n:,} items, {self.tokens.prompt + self.tokens.answer:,} tokens"
            f"{self.options.prices.cost(self.tokens.prompt, self.tokens.answer)}, "
            f"about {_spell(left_s)} to go"
        )


def estimate(files: ItemFiles, options: EnrichOptions) -> str:
    """Return an estimate of what a run would do; nothing is asked or written.

    Raises:
        UsageError, BadDataError: as `ItemFiles`.
    """
    files.check()
    items = [cells for name, cells in files.rows() if name is not None]
    asked = [question(each) for each in _in_parts(items, options.batch)]
    characters = sum(len(each.instructions) + len(each.text) for each in asked)
    prompt = characters // _CHARACTERS_PER_TOKEN
    answer = _TOKENS_PER_ANSWER * len(items)
    seconds = answer / _TOKENS_PER_S / min(AT_ONCE, max(1, len(asked)))
    return (
        f"{len(items):,} items in {len(asked):,} calls: about {prompt:,} + {answer:,} tokens"
        f"{options.prices.cost(prompt, answer)}; {_spell(seconds)} at "
        f"{_TOKENS_PER_S:.0f} tokens/s and {AT_ONCE} calls at a time"
    )


def _in_parts(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield items in parts of a size; the last part may be smaller."""
    left = iter(items)
    while part := tuple(islice(left, size)):
        yield part


def _stopped(error: BaseException, done: int, n: int) -> BaseException:
    """Return an error that also says how far the run came."""
    if not isinstance(error, LanguageModelError):
        return error
    message = f"{error.message}: {done:,} of {n:,} items are done; the same command goes on there"
    return LanguageModelError(message, reason=error.reason)


def _spell(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
