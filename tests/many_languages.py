"""A few hundred short texts in twelve languages, as people search and as items are described."""

from itertools import product

_PARTS = {
    "en": (["space adventure", "a detective", "cheap red shoes"], ["for children", "in winter"]),
    "zh": (["太空冒险", "侦探", "便宜的红鞋"], ["适合儿童", "冬天的故事"]),
    "ja": (["宇宙の冒険", "探偵", "安い赤い靴"], ["子供向け", "冬の物語"]),
    "ko": (["우주 모험", "탐정", "저렴한 빨간 신발"], ["어린이를 위한", "겨울 이야기"]),
    "de": (
        ["Weltraumabenteuer", "ein Detektiv", "rote Schuhe"],
        ["für Kinder", "im Winter"],
    ),
    "fr": (
        ["aventure spatiale", "un policier", "chaussures rouges"],
        ["pour enfants", "en hiver"],
    ),
    "es": (["aventura espacial", "un detective", "zapatos rojos"], ["para niños", "en invierno"]),
    "ru": (["космическое приключение", "детектив", "красные туфли"], ["для детей", "зимой"]),
    "ar": (["مغامرة فضائية", "محقق", "أحذية حمراء رخيصة"], ["للأطفال", "في الشتاء"]),
    "hi": (["अंतरिक्ष रोमांच", "एक जासूस", "सस्ते लाल जूते"], ["बच्चों के लिए", "सर्दियों में"]),
    "th": (["ผจญภัยในอวกาศ", "นักสืบ", "รองเท้าสีแดง"], ["สำหรับเด็ก", "ในฤดูหนาว"]),
    "pl": (["przygoda w kosmosie", "detektyw", "czerwone buty"], ["dla dzieci", "zimą"]),
}
_SIGNS = ["", " (1995)", ", ＡＢＣ 50%", "! 🎬", "\tSKU-1018"]

TEXTS = [
    f"{what} {where}{sign}"
    for whats, wheres in _PARTS.values()
    for what, where, sign in product(whats, wheres, _SIGNS)
]
"""360 different texts."""
