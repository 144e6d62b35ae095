"""What we say about a picture or a clip: labels, tags, synonyms, templates,
colours, motions and arrangements.

Every function takes the random generator it draws from, so a batch is
reproduced by its seed. English and Chinese phrases are ours; labels and tags in
ten languages are emojibase's; synonyms are WordNet's.
"""

import json
import pathlib
import re

DATA = pathlib.Path(__file__).resolve().parents[1] / "work" / "data"
CONCEPTS = json.loads((DATA / "concepts.json").read_text(encoding="utf-8"))

# How often each language is spoken in training.
LANGUAGES = {"en": 0.33, "zh": 0.21, "ja": 0.07, "de": 0.07, "fr": 0.07, "es": 0.07, "ko": 0.045, "pt": 0.045, "it": 0.045, "ru": 0.045}

TEMPLATES = {
    "en": ["a picture of {}", "{} emoji", "an icon of {}", "a photo of {}", "a {}", "a {}", "a {}", "the {}", "a drawing of {}", "{} symbol"]
    + ["an image of a {}", "find a {}", "where is the {}?", "I want a {}", "can you find {}?", "search for {}", "please give me {} photos", "this is a {}", "something like a {}"],
    "zh": ["{}的图片", "一个{}", "{}表情", "{}图标", "一张{}的照片", "一只{}", "找一张{}的图", "我要{}", "给我{}", "搜索{}", "哪里有{}", "这是{}", "画着{}的图"],
    "ja": ["{}の写真", "{}の絵", "{}の画像", "{}のアイコン", "{}を見せて", "{}を探して", "{}はどこ", "これは{}です"],
    # articles of any gender: which one a word has is not known here
    "de": ["ein {}", "eine {}", "einen {}", "der {}", "die {}", "das {}", "ein Bild von {}", "ein Foto von {}", "finde {}", "zeig mir ein {}", "zeig mir eine {}", "wo ist {}?"],
    "fr": ["un {}", "une {}", "le {}", "la {}", "l'{}", "des {}", "une photo de {}", "une image de {}", "trouve un {}", "montre-moi une {}", "où est {} ?"],
    "es": ["un {}", "una {}", "el {}", "la {}", "unos {}", "una foto de {}", "una imagen de {}", "busca un {}", "muéstrame una {}", "¿dónde está {}?"],
    "ko": ["{} 사진", "{} 그림", "{} 이미지", "{} 아이콘", "{} 찾아줘", "{} 보여줘", "이것은 {}"],
    "pt": ["um {}", "uma {}", "o {}", "a {}", "uma foto de {}", "uma imagem de {}", "procure um {}", "mostre uma {}", "onde está {}?"],
    "it": ["un {}", "una {}", "un'{}", "il {}", "la {}", "l'{}", "una foto di {}", "un'immagine di {}", "trova un {}", "mostrami una {}", "dov'è {}?"],
    "ru": ["{} фото", "{} картинка", "{} рисунок", "это {}", "найди: {}", "где {}?", "вот {}"],
}
# Phrases are also put together from these, so that many ways of asking are met and none is learnt by heart.
OPENERS = {
    "en": ["please find", "get me", "give me", "let me see", "could you find", "is there", "search for", "I need", "we want", "fetch", "look up", "display", "pick", "bring up", "which one is"],
    "zh": ["请找", "给我", "来一张", "搜一下", "查找", "我需要", "麻烦找", "能找到", "想要", "请显示", "找找", "挑一张"],
}
FORMS = {
    "en": ["{}", "a {}", "the {}", "any {}", "a picture of {}", "an image of a {}", "a photo of {}", "some {} pictures", "one with a {}", "{} images", "a small {}"],
    "zh": ["{}", "一个{}", "{}的图片", "{}的照片", "一张{}的图", "关于{}的图片", "带{}的图", "{}图", "小{}"],
}
CLOSERS = {"en": ["", "", "", "", "?", " please", " for me", " here", " in this folder", " if you can"], "zh": ["", "", "", "", "吗", "，谢谢", "好吗", "？", "的那张"]}
# Share of captions that are asked: in the languages whose phrases are put together, and in the others.
ASKED, ASKED_ELSEWHERE = 0.18, 0.35
# Only ever asked in the evaluation.
UNSEEN_TEMPLATES = {
    "en": ["show me {}", "do you have any {} pictures?", "I am looking for {}"],
    "zh": ["帮我找{}", "有没有{}", "我想看{}"],
    "ja": ["{}が見たい"],
    "de": ["ich suche eine {}"],
    "fr": ["je cherche un {}"],
    "es": ["quiero ver un {}"],
    "ko": ["{} 어디 있어"],
    "pt": ["quero ver uma {}"],
    "it": ["sto cercando un {}"],
    "ru": ["покажи {}"],
}

# name -> (RGB, names in the languages whose adjectives do not change with the noun)
COLOURS = {
    "red": ((214, 40, 40), {"en": ["red"], "zh": ["红色", "红色的", "红"], "ja": ["赤い"], "ko": ["빨간 "]}),
    "orange": ((240, 130, 30), {"en": ["orange"], "zh": ["橙色", "橙色的"], "ja": ["オレンジ色の"], "ko": ["주황색 "]}),
    "yellow": ((245, 205, 50), {"en": ["yellow"], "zh": ["黄色", "黄色的", "黄"], "ja": ["黄色い"], "ko": ["노란 "]}),
    "green": ((60, 160, 70), {"en": ["green"], "zh": ["绿色", "绿色的", "绿"], "ja": ["緑の"], "ko": ["초록색 "]}),
    "blue": ((50, 110, 215), {"en": ["blue"], "zh": ["蓝色", "蓝色的", "蓝"], "ja": ["青い"], "ko": ["파란 "]}),
    "purple": ((135, 70, 180), {"en": ["purple"], "zh": ["紫色", "紫色的"], "ja": ["紫の"], "ko": ["보라색 "]}),
    "pink": ((245, 140, 180), {"en": ["pink"], "zh": ["粉色", "粉红色的"], "ja": ["ピンクの"], "ko": ["분홍색 "]}),
    "brown": ((130, 85, 50), {"en": ["brown"], "zh": ["棕色", "棕色的"], "ja": ["茶色の"], "ko": ["갈색 "]}),
    "black": ((35, 35, 38), {"en": ["black"], "zh": ["黑色", "黑色的", "黑"], "ja": ["黒い"], "ko": ["검은 "]}),
    "white": ((245, 245, 245), {"en": ["white"], "zh": ["白色", "白色的", "白"], "ja": ["白い"], "ko": ["하얀 "]}),
    "grey": ((140, 140, 145), {"en": ["grey", "gray"], "zh": ["灰色", "灰色的"], "ja": ["灰色の"], "ko": ["회색 "]}),
}

# Each motion stands next to its opposite: MOTIONS[k] and MOTIONS[k ^ 1].
MOTIONS = ["left", "right", "up", "down", "grow", "shrink", "clockwise", "anticlockwise", "appear", "disappear"]
MOTION_PHRASES = {
    "en": {
        "left": ["{} moving left", "a {} moving left", "{} moves to the left", "{} sliding from right to left", "{} driving to the left"],
        "right": ["{} moving right", "a {} moving right", "{} moves to the right", "{} sliding from left to right", "{} driving to the right"],
        "up": ["{} moving up", "a {} moving upwards", "{} rising", "{} going up"],
        "down": ["{} moving down", "a {} moving downwards", "{} falling", "{} going down"],
        "grow": ["{} growing", "a {} getting bigger", "{} zooming in", "{} coming closer"],
        "shrink": ["{} shrinking", "a {} getting smaller", "{} zooming out", "{} going away"],
        "clockwise": ["{} rotating clockwise", "a {} turning clockwise"],
        "anticlockwise": ["{} rotating counterclockwise", "a {} turning anticlockwise"],
        "appear": ["{} appearing", "a {} appears", "{} fading in"],
        "disappear": ["{} disappearing", "a {} disappears", "{} fading out"],
    },
    "zh": {
        "left": ["{}向左移动", "{}从右往左移动", "向左移动的{}"],
        "right": ["{}向右移动", "{}从左往右移动", "向右移动的{}"],
        "up": ["{}向上移动", "{}上升"],
        "down": ["{}向下移动", "{}下降", "{}落下"],
        "grow": ["{}变大", "{}越来越大"],
        "shrink": ["{}变小", "{}越来越小"],
        "clockwise": ["{}顺时针旋转", "{}顺时针转动"],
        "anticlockwise": ["{}逆时针旋转", "{}逆时针转动"],
        "appear": ["{}出现", "出现一个{}"],
        "disappear": ["{}消失", "{}不见了"],
    },
}
SEQUENCE_PHRASES = {
    "en": ["{} then {}", "first {}, then {}", "{} turns into {}", "{} followed by {}"],
    "zh": ["先是{}，然后是{}", "{}变成{}", "{}之后是{}"],
}
# Relation k and k ^ 1 are opposites; each says where the first thing is.
RELATIONS = ["left of", "right of", "above", "below"]
RELATION_PHRASES = {
    "en": {
        "left of": ["{} left of {}", "{} to the left of {}"],
        "right of": ["{} right of {}", "{} to the right of {}"],
        "above": ["{} above {}", "{} over {}"],
        "below": ["{} below {}", "{} under {}"],
    },
    "zh": {
        "left of": ["{}在{}的左边", "{}在{}左边"],
        "right of": ["{}在{}的右边", "{}在{}右边"],
        "above": ["{}在{}的上面", "{}在{}上方"],
        "below": ["{}在{}的下面", "{}在{}下方"],
    },
}


def speak(rng):
    """A language, as often as LANGUAGES says."""
    return rng.choices(list(LANGUAGES), LANGUAGES.values())[0]


def label(concept, language):
    return CONCEPTS[concept]["text"][language][0]


def noun(concept, language, rng):
    """The label, or now and then a single tag or synonym in its place: "automobile", "car"."""
    name, *tags = CONCEPTS[concept]["text"][language]
    if language == "en":
        tags = tags + CONCEPTS[concept]["synonyms"]["train"]
    return rng.choice(tags) if tags and rng.random() < 0.3 else name


def articles(text):
    """"a apple" -> "an apple"."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def filled(template, language, *words):
    """Words in a template, with the English article they ask for."""
    phrase = template.format(*words)
    return articles(phrase) if language == "en" else phrase


def asked(words, language, rng):
    """Words in one of TEMPLATES, or, in English and Chinese, in a phrase put together."""
    if language not in FORMS or rng.random() < 0.5:
        return filled(rng.choice(TEMPLATES[language]), language, words)
    gap = " " if language == "en" else ""
    template = f"{rng.choice(OPENERS[language])}{gap}{rng.choice(FORMS[language])}{rng.choice(CLOSERS[language])}"
    return filled(template, language, words)


def templated(concept, language, rng):
    return asked(noun(concept, language, rng), language, rng)


def coloured(concept, colour, language, rng):
    """"red automobile", "a red car", "红色汽车"."""
    adjective = rng.choice(COLOURS[colour][1][language])
    phrase = f"{adjective} {noun(concept, language, rng)}" if language == "en" else adjective + noun(concept, language, rng)
    if rng.random() < 0.3:
        return asked(phrase, language, rng)
    return phrase


def caption(concept, rng, language=None):
    """Some way to name a concept: label, label and tags, tags alone, template or synonym."""
    language = language or speak(rng)
    name, *tags = CONCEPTS[concept]["text"][language]
    joint = "、" if language in ("zh", "ja") else " "
    if rng.random() < (ASKED if language in FORMS else ASKED_ELSEWHERE):
        return templated(concept, language, rng)
    kind = rng.random()
    if kind < 0.1 and language == "en" and CONCEPTS[concept]["synonyms"]["train"]:
        return rng.choice(CONCEPTS[concept]["synonyms"]["train"])
    if kind < 0.22 and len(tags) >= 2:
        return joint.join(rng.sample(tags, min(len(tags), rng.randint(1, 4))))
    if kind < 0.34 and tags:
        return joint.join([name] + rng.sample(tags, min(len(tags), rng.randint(1, 3))))
    return name


def moving(concept, motion, language, rng):
    return filled(rng.choice(MOTION_PHRASES[language][motion]), language, label(concept, language))


def in_order(first, second, language, rng):
    """Two things one after the other."""
    return rng.choice(SEQUENCE_PHRASES[language]).format(label(first, language), label(second, language))


def arranged(first, second, relation, language, rng):
    """Two coloured things side by side; each is (concept, colour)."""
    names = [f"{COLOURS[colour][1][language][0]}{' ' if language == 'en' else ''}{label(concept, language)}" for concept, colour in (first, second)]
    phrase = rng.choice(RELATION_PHRASES[language][relation])
    if language == "en":
        names = [f"a {name}" for name in names]
    return articles(phrase.format(*names))
