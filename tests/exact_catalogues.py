"""Five small catalogues of different domains and languages, drawn from lists of words.

Each has titles, texts and ids that people would type. What their items hold is known from
`app.engine.retrieval.word_cutting` alone, so a test can tell which answers are right. A network for
words is trained on queries that are drawn from the catalogue, as in a build.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from app.core.types import EngineInfo
from app.domain.columns import decode_column, encode_column
from app.engine.catalogue.catalogue import Catalogue
from app.engine.engine import RankEngine
from app.engine.parts import TextParts, assemble
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.scoring.modes import Mode
from app.engine.scoring.scorer import Scorer
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.search_examples import SearchSide, draw_search_examples
from app.offline.learning.synthetic_queries import QueryWriter
from app.offline.learning.train_scorer import Linear, Network, train
from app.testing.encoder import HashEncoder

N_ITEMS = 600
DIM = 16

Item: TypeAlias = dict[str, str]
Draw: TypeAlias = Callable[[str], str]

_LISTS: Mapping[str, str] = {
    "first": "anna boris carla dmitri elena farid greta hugo ines jonas kira leon maya nils olga",
    "last": "adler brandt castro dahl egger fontana gruber holm ivanov jansen kowal lind moreau "
    "novak okafor petrova quint rossi salgado tanaka ueda vargas weber yilmaz zimmer",
    "colours": "red blue green black white silver golden purple",
    "things": "kettle lamp chair shelf drill mixer toaster blanket mirror carpet ladder heater",
    "stuff": "steel oak bamboo ceramic wool cotton glass leather marble copper",
    "scenes": "harbour desert winter island bakery lighthouse railway orchard border castle "
    "violin canyon monastery glacier carnival",
    "moods": "silent broken hidden distant burning golden frozen forgotten endless secret",
    "german": "bahnhof regierung hochwasser streik wahlkampf theater brücke klinik hafen gericht "
    "schule haushalt forschung museum stadtrat flughafen weinlese seilbahn",
    "verbs": "eröffnet schließt plant verliert gewinnt sucht verkauft rettet",
    "sounds": "moon river velvet thunder neon paper summer concrete ocean mirror whisper tiger",
    "han": "春风 夏雨 秋月 冬雪 红楼 西游 江湖 故乡 朝花 城南 旧事 呐喊 长河 "
    "孤独 海岸 星空 竹林 茶馆",
    "authors": "鲁迅 老舍 巴金 沈从文 张爱玲 林语堂 钱钟书 萧红 茅盾 郁达夫",
}
_WORDS = {kind: words.split() for kind, words in _LISTS.items()}
# Many names that look like each other, most of them rare.
_WORDS["last"] = [f"{name}{end}" for end in ("", "son", "i", "er", "a") for name in _WORDS["last"]]


def _shop(draw: Draw, number: int) -> Item:
    title = f"{draw('colours')} {draw('stuff')} {draw('things')} {draw('last')}-{number % 97}"
    text = f"Made by {draw('last')} of {draw('stuff')}, for {draw('things')} and {draw('things')}."
    return {"id": f"AX-{7 * number + 1001}", "title": title, "text": text}


def _films(draw: Draw, number: int) -> Item:
    names = [f"{draw('first')} {draw('last')}".title() for _ in range(3)]
    title = f"The {draw('moods')} {draw('scenes')}".title()
    text = f"A {draw('moods')} story of a {draw('scenes')}. Directed by {names[0]}. With "
    return {"id": f"tt{90210 + number}", "title": title, "text": f"{text}{names[1]}, {names[2]}."}


def _news(draw: Draw, number: int) -> Item:
    title = f"{draw('german')} {draw('verbs')} {draw('german')}".capitalize()
    text = f"{draw('last')} {draw('verbs')} {draw('german')} {draw('first')} {draw('last')}"
    return {"id": f"n{number}x", "title": title, "text": text}


def _music(draw: Draw, number: int) -> Item:
    title = f"{draw('sounds')} {draw('sounds')} {draw('moods')}".title()
    text = f"{draw('first')} {draw('last')} and the {draw('sounds')} {draw('colours')} band"
    return {"id": f"tr-{number:05d}", "title": title, "text": text.title()}


def _books(draw: Draw, number: int) -> Item:
    title = f"{draw('han')}{draw('han')}{draw('han')}"
    return {"id": f"B{number}CN", "title": title, "text": f"{draw('authors')}著，{draw('han')}。"}


_MAKERS: Mapping[str, Callable[[Draw, int], Item]] = {
    "shop": _shop,
    "films": _films,
    "news": _news,
    "music": _music,
    "books": _books,
}
NAMES = tuple(_MAKERS)


def items_of(name: str) -> list[Item]:
    """Return the items of a catalogue; some words are far more frequent than others."""
    rng = np.random.default_rng(NAMES.index(name))

    def draw(kind: str) -> str:
        words = _WORDS[kind]
        return words[int(len(words) * rng.random() ** 2)]

    return [_MAKERS[name](draw, number) for number in range(N_ITEMS)]


def text_of(item: Item) -> str:
    """Return the text that an item is found by."""
    return f"{item['title']}. {item['text']}"


def side_of(items: Sequence[Item]) -> SearchSide:
    """Return the texts of some items as serving searches them."""
    titles, texts = [item["title"] for item in items], [text_of(item) for item in items]
    encoder = HashEncoder(DIM)
    vectors = encoder.encode(texts)
    names = [[item["id"]] for item in items]
    return SearchSide(
        words=LexicalIndex(lexical_arrays(titles, texts, names=names)),
        index=FlatIndex(vectors),
        vectors=vectors,
        freshness=np.zeros(len(items), np.float32),
        encode=lambda queries: encoder.encode(queries, "query"),
    )


def trained(items: Sequence[Item], *, linear: bool) -> Scorer:
    """Return a model of the mode *words* that has learned from drawn queries."""
    titles, texts = [item["title"] for item in items], [text_of(item) for item in items]
    rows = np.repeat(np.arange(len(items)), 2)
    none = np.empty(0, np.int64)
    queries = [
        TrainingQuery(recent=none, target=row, sample_weight=1.0, disliked=none, query=text)
        for row, text in zip(
            rows.tolist(), QueryWriter(titles, texts, {}, 0).write(rows), strict=True
        )
    ]
    examples = draw_search_examples(
        queries, "words", side_of(items), behaviour=None, content_knn_share=0.0, seed=0
    )
    model = train(examples, 0, make=Linear if linear else Network)
    return Scorer(model.arrays, examples.features.shape[1])


def engine_of(items: Sequence[Item], networks: Mapping[Mode, Scorer]) -> RankEngine:
    """Return an engine over some items, which scores by some networks."""
    side = side_of(items)
    columns = {
        name: decode_column("string", encode_column("string", [item[name] for item in items]))
        for name in ("id", "title", "text")
    }
    attributes = {"text": "string"}
    zeros = np.zeros(len(items), np.float32)
    parts = assemble(
        Catalogue(columns, attributes),
        HashEncoder(DIM),
        TextParts(
            side.vectors,
            side.index,
            side.words,
            lambda value_of: f"{value_of('title')}. {value_of('text')}",
        ),
        {"popularity": zeros, "trending": zeros, "freshness": zeros},
        networks=networks,
    )
    info = EngineInfo(
        bundle="g1",
        bundle_name="exact",
        catalogue=0,
        n_items=len(items),
        n_users=0,
        n_events=0,
        dim=DIM,
        encoder=f"hash-{DIM}",
        index="flat",
        scorer="learned" if networks else "blend",
        attributes=attributes,
    )
    return RankEngine(parts, info)
