"""Fakes of the ports `LanguageModel` and `TextModel`, for tests and load tests only."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any

from app.core.errors import LanguageModelError
from app.core.types import ModelAnswer, ModelQuestion, TextQuestion


class ScriptedLanguageModel:
    """A `LanguageModel` that answers as a test says.

    Attributes:
        asked: all questions, in order.
    """

    def __init__(self, answer: Callable[[ModelQuestion], Mapping[str, Any] | ModelAnswer]) -> None:
        """Answer with what `answer` returns, or fail with the `LanguageModelError` it raises."""
        self._answer = answer
        self._closed = False
        self.asked: list[ModelQuestion] = []

    def __repr__(self) -> str:
        return f"<ScriptedLanguageModel asked {len(self.asked)} times>"

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Return the scripted answer."""
        if self._closed:
            raise LanguageModelError("the language model is closed", reason="unreachable")
        self.asked.append(question)
        answer = self._answer(question)
        return answer if isinstance(answer, ModelAnswer) else ModelAnswer(answer)

    async def aclose(self) -> None:
        """Let all later calls fail."""
        self._closed = True


class ScriptedTextModel:
    """A `TextModel` that writes as a test says.

    Attributes:
        asked: all questions, in order.
        ended: how many of its texts ended, by themselves or because they were closed.
    """

    def __init__(self, write: Callable[[TextQuestion], AsyncIterable[str]]) -> None:
        """Write the pieces of `write`, or fail with the `LanguageModelError` it raises."""
        self._write = write
        self._closed = False
        self.asked: list[TextQuestion] = []
        self.ended = 0

    def __repr__(self) -> str:
        return f"<ScriptedTextModel asked {len(self.asked)} times>"

    async def write(self, question: TextQuestion) -> AsyncGenerator[str, None]:
        """Yield the scripted pieces."""
        if self._closed:
            raise LanguageModelError("the language model is closed", reason="unreachable")
        self.asked.append(question)
        try:
            async for piece in self._write(question):
                yield piece
        finally:
            self.ended += 1

    async def aclose(self) -> None:
        """Let all later calls fail."""
        self._closed = True
