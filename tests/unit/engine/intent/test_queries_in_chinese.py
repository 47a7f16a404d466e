"""What queries in Chinese ask for, over made catalogues of films, a shop, news and music."""

from typing import Any

import pytest

from tests.intent_catalogues import NOW, parser_for, said

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "shop",
        "500元以下的耳机",
        {"filters": {"categories": {"any": ["Headphones"]}, "price": {"lte": 500}}},
    ),
    (
        "shop",
        "红色耳机",
        {"filters": {"categories": {"any": ["Headphones"]}, "color": {"any": ["red"]}}},
    ),
    (
        "shop",
        "黑色皮革沙发",
        {
            "prefers": {
                "categories": {"any": ["Sofas"]},
                "color": {"any": ["black"]},
                "material": {"any": ["leather"]},
            },
            "text": "黑色皮革沙发",
        },
    ),
    (
        "shop",
        "不要黑色的鞋子",
        {"filters": {"$not": [{"color": {"any": ["black"]}}], "categories": {"any": ["Shoes"]}}},
    ),
    (
        "shop",
        "价格在1000到2000元之间的笔记本电脑",
        {"filters": {"categories": {"any": ["Laptops"]}, "price": {"gte": 1000, "lte": 2000}}},
    ),
    (
        "shop",
        "评分4.5以上的耳机",
        {"filters": {"categories": {"any": ["Headphones"]}, "rating": {"gte": 4.5}}},
    ),
    (
        "shop",
        "最便宜的笔记本电脑",
        {"sort": "cheapest", "filters": {"categories": {"any": ["Laptops"]}}},
    ),
    (
        "shop",
        "不超过1公斤的鞋",
        {"filters": {"categories": {"any": ["Shoes"]}, "weight_kg": {"lte": 1}}},
    ),
    (
        "shop",
        "续航10小时以上的耳机",
        {"filters": {"battery_hours": {"gte": 10}, "categories": {"any": ["Headphones"]}}},
    ),
    (
        "shop",
        "除了黑色的沙发",
        {"filters": {"$not": [{"color": {"any": ["black"]}}], "categories": {"any": ["Sofas"]}}},
    ),
    (
        "news",
        "今天的体育新闻",
        {
            "filters": {
                "categories": {"any": ["Sports"]},
                "published_at": {"gte": "2026-06-15", "lt": "2026-06-16"},
            }
        },
    ),
    (
        "news",
        "上周的政治新闻",
        {
            "filters": {
                "categories": {"any": ["Politics"]},
                "published_at": {"gte": "2026-06-08", "lt": "2026-06-15"},
            }
        },
    ),
    (
        "news",
        "最近三天的新闻",
        {"filters": {"published_at": {"gte": "2026-06-12", "lt": "2026-06-16"}}},
    ),
    (
        "news",
        "本周科技新闻",
        {
            "filters": {
                "categories": {"any": ["Technology"]},
                "published_at": {"gte": "2026-06-15", "lt": "2026-06-22"},
            }
        },
    ),
    (
        "news",
        "去年夏天的健康新闻",
        {
            "filters": {
                "categories": {"any": ["Health"]},
                "published_at": {"gte": "2025-06-01", "lt": "2025-09-01"},
            }
        },
    ),
    (
        "music",
        "安静的爵士乐",
        {"filters": {"categories": {"any": ["Jazz"]}}, "tone": ["calm"], "text": "安静"},
    ),
    (
        "music",
        "适合跑步的电子音乐",
        {
            "filters": {"categories": {"any": ["Electronic"]}},
            "tone": ["energetic"],
            "text": "适合跑步",
        },
    ),
    ("music", "摇滚或爵士", {"filters": {"categories": {"any": ["Jazz", "Rock"]}}}),
    ("film", "两小时以内的电影", {"filters": {"runtime": {"lte": 120}}}),
    (
        "film",
        "不到两个小时的科幻片",
        {"filters": {"categories": {"any": ["Sci-Fi"]}, "runtime": {"lte": 120}}},
    ),
    (
        "film",
        "一个半小时以内的喜剧",
        {"filters": {"categories": {"any": ["Comedy"]}, "runtime": {"lte": 90}}},
    ),
    ("film", "评分8分以上的电影", {"filters": {"rating": {"gte": 8}}}),
    (
        "film",
        "8分以上的科幻片",
        {"filters": {"categories": {"any": ["Sci-Fi"]}, "rating": {"gte": 8}}},
    ),
    (
        "film",
        "像银河旅人那样的电影，但不要恐怖",
        {"filters": {"$not": [{"categories": {"any": ["Horror"]}}]}, "like": ["银河旅人"]},
    ),
    ("film", "银河旅人", {"text": "银河旅人"}),
    ("film", "春天的信", {"text": "春天的信"}),
    ("film", "新电影", {"sort": "newest"}),
    (
        "film",
        "上世纪90年代的爱情片",
        {
            "filters": {
                "categories": {"any": ["Romance"]},
                "published_at": {"gte": "1990-01-01", "lt": "2000-01-01"},
            }
        },
    ),
    (
        "film",
        "2010年至今的动画",
        {"filters": {"categories": {"any": ["Animation"]}, "published_at": {"gte": "2010-01-01"}}},
    ),
    (
        "film",
        "既不要恐怖也不要战争",
        {"filters": {"$not": [{"categories": {"any": ["Horror", "War"]}}]}},
    ),
    (
        "film",
        "推荐五部最好看的喜剧",
        {"sort": "rated", "filters": {"categories": {"any": ["Comedy"]}}, "count": 5},
    ),
    (
        "film",
        "有没有轻松的喜剧",
        {"filters": {"categories": {"any": ["Comedy"]}}, "tone": ["light"]},
    ),
    ("film", "三体", {"text": "三体"}),
]


@pytest.mark.parametrize(("domain", "query", "expected"), ROWS)
def test_what_a_query_says(domain: str, query: str, expected: dict[str, Any]) -> None:
    assert said(domain, query) == expected


@pytest.mark.parametrize(("domain", "query"), [row[:2] for row in ROWS])
def test_its_language(domain: str, query: str) -> None:
    assert parser_for(domain).parse(query, NOW).language == "zh"
