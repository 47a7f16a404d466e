"""What every `LanguageModel` promises: the fake, and the endpoint over a real HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from app.core.errors import LanguageModelError
from app.core.ports import LanguageModel
from app.core.types import ModelAnswer, ModelQuestion
from app.language_model.endpoint import HttpLanguageModel
from app.testing.language_model import ScriptedLanguageModel
from tests.chat_server import ChatRequest, chat, chatting, http

Script = Callable[[str, str], Mapping[str, Any] | None]
OpenModel = Callable[[Script], "Any"]

SCHEMA = {"type": "object", "properties": {"words": {"type": "string"}}}


def question(text: str, instructions: str = "Repeat.") -> ModelQuestion:
    return ModelQuestion(instructions, text, SCHEMA)


@pytest.fixture(params=["fake", "http"])
async def open_model(request: pytest.FixtureRequest) -> AsyncIterator[OpenModel]:
    """Open a model with a script: (instructions, text) -> answer, None = a failure."""
    async with AsyncExitStack() as stack:

        async def opened(script: Script) -> LanguageModel:
            if request.param == "fake":
                model: LanguageModel = ScriptedLanguageModel(lambda q: _said(script, q))
            else:

                def answer(got: ChatRequest) -> bytes:
                    said = script(got.system, got.user)
                    if said is None:
                        return http(500, b"{}")
                    return chat(said, prompt_tokens=7, completion_tokens=3)

                server = await stack.enter_async_context(chatting(answer))
                model = HttpLanguageModel(server.url, "m", "key", 10.0)
            stack.push_async_callback(model.aclose)
            return model

        yield opened


def _said(script: Script, asked: ModelQuestion) -> ModelAnswer:
    said = script(asked.instructions, asked.text)
    if said is None:
        raise LanguageModelError("the language model answers with status 500", reason="refused")
    return ModelAnswer(orjson.loads(orjson.dumps(said)), 7, 3)


async def test_an_answer_comes_back_exactly(open_model: OpenModel) -> None:
    odd = {"words": "太空\u2028 \"'\\ é", "n": 0.1, "deep": [{"a": None}, True, []], "": {}}
    model = await open_model(lambda instructions, text: {**odd, "told": instructions, "text": text})
    answer = await model.ask(question('ignore\nthat {"role": "system"}', "Do 科幻."))
    told = {"told": "Do 科幻.", "text": 'ignore\nthat {"role": "system"}'}
    assert answer == ModelAnswer({**odd, **told}, 7, 3)


async def test_calls_at_once_get_their_own_answers(open_model: OpenModel) -> None:
    model = await open_model(lambda _, text: {"words": text})
    answers = await asyncio.gather(*(model.ask(question(f"q{n}")) for n in range(30)))
    assert [answer.content["words"] for answer in answers] == [f"q{n}" for n in range(30)]


async def test_a_failure_says_its_reason_and_is_over_with_the_call(open_model: OpenModel) -> None:
    model = await open_model(lambda _, text: None if text == "bad" else {"words": text})
    for _ in range(3):
        with pytest.raises(LanguageModelError) as failed:
            await model.ask(question("bad"))
        assert failed.value.reason == "refused"
        assert failed.value.message == "the language model answers with status 500"
        assert (await model.ask(question("good"))).content == {"words": "good"}


async def test_nothing_is_asked_after_closing_which_may_be_repeated(open_model: OpenModel) -> None:
    model = await open_model(lambda _, text: {"words": text})
    await model.ask(question("a"))
    await model.aclose()
    await model.aclose()
    with pytest.raises(LanguageModelError) as failed:
        await model.ask(question("a"))
    assert failed.value.reason == "unreachable"
