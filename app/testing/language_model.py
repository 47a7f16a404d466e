"""A fake of the port `LanguageModel`, for tests and load tests only."""

from collections.abc import Callable, Mapping
from typing import Any

from app.core.errors import LanguageModelError
from app.core.types import ModelAnswer, ModelQuestion


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
