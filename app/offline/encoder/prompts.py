"""The prompts of a model: what stands before each query, and before the text of each item.

They come from the model's own `config_sentence_transformers.json`. The E5 models were trained with
"query: " and "passage: " and do not say so there: their model card says it, and so they are known
by their card, or by their name where only the name is at hand.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ITEM_PROMPTS: Final = ("document", "passage", "corpus")
"""How sentence-transformers names the prompt of what is searched: the first that is set."""

_E5: Final = re.compile(r"(?:^|[/_-])e5-(?:small|base|large)(?!.*instruct)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What stands before each query, and before the text of each item; "" = nothing."""

    query: str
    item: str


E5_PROMPTS: Final = Prompts("query: ", "passage: ")


def prompts_of(source: Any, name: str) -> Prompts:  # noqa: ANN401 - a SentenceTransformer
    """Return the prompts of a loaded model; `name`: the hub name or folder that it came from."""
    stated: dict[str, str] = {key: text for key, text in source.prompts.items() if text}
    default = stated.get(source.default_prompt_name or "", "")
    item = next((stated[key] for key in _ITEM_PROMPTS if key in stated), default)
    prompts = Prompts(stated.get("query", default), item)
    if not stated and _is_e5(name):
        return E5_PROMPTS
    return prompts


def _is_e5(name: str) -> bool:
    if _E5.search(name):
        return True
    folder, card, origin = Path(name), "", ""
    with suppress(OSError, UnicodeDecodeError):
        card = (folder / "README.md").read_text(encoding="utf-8")
    with suppress(OSError, ValueError, AttributeError):
        config = json.loads((folder / "config.json").read_bytes())
        origin = str(config.get("_name_or_path", ""))
    return ('"query: "' in card and '"passage: "' in card) or bool(_E5.search(origin))
