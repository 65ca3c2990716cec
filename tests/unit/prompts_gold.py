"""Prompts with the parts that their author meant: (prompt, instruction, demonstrations). Written for this project; the first
eight are of the sorts that prompt parsers are usually tried on (aliases of a name, a chat with a shop, lists of products,
two languages, dates, questions from facts, a last example that was never finished), the others break parsers."""

from __future__ import annotations

Gold = tuple[str, str, tuple[tuple[str, str], ...]]

PROMPTS: dict[str, Gold] = {
    "dates": (
        "Bring every date into the form DD.MM.YYYY. If a part of the date is missing, write ?? for it.\n\n"
        "Input: March 4th, 1999\nOutput: 04.03.1999\n\nInput: in the summer of 2010\nOutput: ??.??.2010\n\nInput: 12/24/85\nOutput: 24.12.1985\n",
        "Bring every date into the form DD.MM.YYYY. If a part of the date is missing, write ?? for it.",
        (("March 4th, 1999", "04.03.1999"), ("in the summer of 2010", "??.??.2010"), ("12/24/85", "24.12.1985")),
    ),
    "question from a fact": (
        "You are given one fact. Turn it into a question that the fact answers, without repeating the answer in the question.",
        "You are given one fact. Turn it into a question that the fact answers, without repeating the answer in the question.",
        (),
    ),
    "aliases": (
        "Given the name of a person, a place or a firm, list the other names by which it is known. Separate them with semicolons; "
        "write none if it has none.\n\nName: New York City\nAliases: NYC; the Big Apple; Gotham\n\nName: International Business Machines\n"
        "Aliases: IBM; Big Blue\n\nName: Ada Lovelace\nAliases: Augusta Ada King; Countess of Lovelace\n",
        "Given the name of a person, a place or a firm, list the other names by which it is known. Separate them with semicolons; write none if it has none.",
        (
            ("New York City", "NYC; the Big Apple; Gotham"),
            ("International Business Machines", "IBM; Big Blue"),
            ("Ada Lovelace", "Augusta Ada King; Countess of Lovelace"),
        ),
    ),
    "a baker's chat": (
        "You answer customers of a small bakery. Be kind and short, never promise what is not on the list: rye bread, rolls, plum cake.\n\n"
        "Customer: Do you have baguettes?\nBaker: I am sorry, no baguettes with us. Our rolls are still warm, though!\n\n"
        "Customer: What can I bring to a birthday?\nBaker: The plum cake makes everybody happy.\n",
        "You answer customers of a small bakery. Be kind and short, never promise what is not on the list: rye bread, rolls, plum cake.",
        (
            ("Do you have baguettes?", "I am sorry, no baguettes with us. Our rolls are still warm, though!"),
            ("What can I bring to a birthday?", "The plum cake makes everybody happy."),
        ),
    ),
    "product of a list": (
        "Multiply all the numbers of the list and give the product alone.\n\n[2, 3, 7] -> 42\n[10] -> 10\n[4, 0, 9] -> 0\n",
        "Multiply all the numbers of the list and give the product alone.",
        (("[2, 3, 7]", "42"), ("[10]", "10"), ("[4, 0, 9]", "0")),
    ),
    "japanese": (
        "次の文を丁寧な言い方に書き換えてください。意味は変えないでください。\n\n入力: 明日来る？\n出力: 明日いらっしゃいますか。\n\n入力: これ食べて。\n出力: こちらを召し上がってください。\n",
        "次の文を丁寧な言い方に書き換えてください。意味は変えないでください。",
        (("明日来る？", "明日いらっしゃいますか。"), ("これ食べて。", "こちらを召し上がってください。")),
    ),
    "chinese recipes": (
        "根据给出的食材，写出一道家常菜的名字和做法，不超过三步。\n\n输入: 鸡蛋、番茄\n输出: 番茄炒蛋\n1. 鸡蛋打散炒熟\n2. 番茄炒软\n3. 合在一起加盐\n\n"
        "输入: 豆腐、小葱\n输出: 小葱拌豆腐\n1. 豆腐切块\n2. 撒葱花和盐\n",
        "根据给出的食材，写出一道家常菜的名字和做法，不超过三步。",
        (
            ("鸡蛋、番茄", "番茄炒蛋\n1. 鸡蛋打散炒熟\n2. 番茄炒软\n3. 合在一起加盐"),
            ("豆腐、小葱", "小葱拌豆腐\n1. 豆腐切块\n2. 撒葱花和盐"),
        ),
    ),
    "pipelines, the last example unfinished": (
        "You write the steps of a build pipeline as YAML, from a wish in plain words. Use only the keys name and run.\n\n"
        "Wish: run the tests\nPipeline:\n- name: test\n  run: make test\n\n"
        "Wish: lint, then build\nPipeline:\n- name: lint\n  run: make lint\n- name: build\n  run: make build\n\n"
        "Wish: publish the package when a tag is pushed\nPipeline:\n",
        "You write the steps of a build pipeline as YAML, from a wish in plain words. Use only the keys name and run.",
        (
            ("run the tests", "- name: test\n  run: make test"),
            ("lint, then build", "- name: lint\n  run: make lint\n- name: build\n  run: make build"),
        ),
    ),
    "braces in the demonstrations": (
        "Explain in one sentence what the line of C does.\n\nInput: if (x > 0) { y = x; } else { y = -x; }\nOutput: Sets y to the absolute value of x.\n\n"
        "Input: while (*s) { s++; }\nOutput: Moves s to the end of the string { and no further }.\n",
        "Explain in one sentence what the line of C does.",
        (
            ("if (x > 0) { y = x; } else { y = -x; }", "Sets y to the absolute value of x."),
            ("while (*s) { s++; }", "Moves s to the end of the string { and no further }."),
        ),
    ),
    "a brace that nobody closes": (
        'Say which bracket is missing.\n\nInput: foo(a[1]\nOutput: )\n\nInput: {"a": [1, 2}\nOutput: ]\n\nInput: if x {\nOutput: }\n',
        "Say which bracket is missing.",
        (("foo(a[1]", ")"), ('{"a": [1, 2}', "]"), ("if x {", "}")),
    ),
    "code blocks": (
        'Translate the Python function to JavaScript. Keep the names.\n\nPython:\n```python\ndef twice(x):\n    return {"x": 2 * x}\n```\n'
        "JavaScript:\n```js\nfunction twice(x) {\n  return {x: 2 * x};\n}\n```\n\nPython:\n```python\ndef first(xs):\n\n    return xs[0]\n```\n"
        "JavaScript:\n```js\nfunction first(xs) {\n\n  return xs[0];\n}\n```\n",
        "Translate the Python function to JavaScript. Keep the names.",
        (
            ('def twice(x):\n    return {"x": 2 * x}', "function twice(x) {\n  return {x: 2 * x};\n}"),
            ("def first(xs):\n\n    return xs[0]", "function first(xs) {\n\n  return xs[0];\n}"),
        ),
    ),
    "nested JSON": (
        "Pull the order out of the message as JSON.\n\nInput: two red mugs to Oslo please\n"
        'Output: {"items": [{"what": "mug", "n": 2, "more": {"colour": "red"}}], "to": {"city": "Oslo"}}\n\n'
        'Input: a lamp, and say "hi }" on the card\n'
        'Output: {"items": [{"what": "lamp", "n": 1, "more": {"card": "hi }"}}], "to": {}}\n',
        "Pull the order out of the message as JSON.",
        (
            (
                "two red mugs to Oslo please",
                '{"items": [{"what": "mug", "n": 2, "more": {"colour": "red"}}], "to": {"city": "Oslo"}}',
            ),
            ('a lamp, and say "hi }" on the card', '{"items": [{"what": "lamp", "n": 1, "more": {"card": "hi }"}}], "to": {}}'),
        ),
    ),
}
