"""Languages by their ISO 639-1 code, and which of them share a script: enough to check what a teacher says of a prompt."""

from __future__ import annotations

import re

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian",
    "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "kn": "Kannada", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam",
    "mr": "Marathi", "ms": "Malay", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
SCRIPTS = (  # every other language above is written in Latin letters
    {"ru", "uk", "bg", "be", "sr", "mk", "kk"}, {"ar", "fa", "ur"}, {"hi", "mr", "ne"}, {"zh", "ja"}, {"ko"}, {"el"}, {"he"}, {"th"}, {"bn"},
    {"ta"}, {"te"}, {"kn"}, {"ml"}, {"gu"}, {"pa"}, {"ka"}, {"hy"},
)  # fmt: skip


def code_of(said: str) -> str | None:
    """ "de", "de-AT", "German" -> "de"; None for what is no language that we know."""
    word = said.strip().casefold()
    by_name = {name.casefold(): code for code, name in NAMES.items()}
    by_name.update(
        {"farsi": "fa", "mandarin": "zh", "simplified chinese": "zh", "traditional chinese": "zh", "filipino": "tl", "nb": "no", "nn": "no"}
    )
    head = re.split(r"[-_]", word)[0]
    return word if word in NAMES else by_name.get(word) or (head if head in NAMES else by_name.get(head))


def name_of(code: str) -> str:
    return NAMES.get(code, code)


def same_script(one: str, other: str) -> bool:
    return script(one) == script(other)


def script(code: str) -> int:
    """Number of its group in SCRIPTS; -1: Latin."""
    return next((i for i, group in enumerate(SCRIPTS) if code in group), -1)
