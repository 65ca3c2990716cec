"""Prompts of many layouts and what is to be found in them, for test_parse.py: name -> (prompt, what is expected).

Expected: kind; labels; demos (all of them); first, last (one demonstration); n (how many); says (stands in the
instruction); not_says; instruction (exactly); low, high; language; metric."""

from __future__ import annotations

from typing import Any

Case = tuple[str, dict[str, Any]]

CASES: dict[str, Case] = {
    "headed pairs": (
        """Classify the review as positive or negative.

Input: I loved every minute.
Output: positive

Input: A waste of an evening.
Output: negative

Input: {input}
Output:""",
        {
            "instruction": "Classify the review as positive or negative.",
            "demos": [("I loved every minute.", "positive"), ("A waste of an evening.", "negative")],
            "kind": "label",
            "labels": ("positive", "negative"),
        },
    ),
    "q and a": (
        "Answer the question in one word.\n\nQ: What is the capital of France?\nA: Paris\n\nQ: Who wrote Faust?\nA: Goethe\n\nQ: How many legs has a spider?\nA: eight\n",
        {
            "n": 3,
            "first": ("What is the capital of France?", "Paris"),
            "last": ("How many legs has a spider?", "eight"),
            "kind": "text",
            "instruction": "Answer the question in one word.",
        },
    ),
    "text and label with definitions": (
        """You sort customer mail for a bicycle shop. Read the mail and give one label.

Labels:
- refund: the customer wants money back
- delivery: a parcel is late, lost or damaged
- other: everything else

Text: Where is my parcel?
Label: delivery

Text: I want my money back.
Label: refund

Text: {{text}}
Label:
""",
        {
            "kind": "label",
            "labels": ("refund", "delivery", "other"),
            "says": ["- refund: the customer wants money back", "bicycle shop"],
            "not_says": ["{{", "Text:", "Where is my parcel"],
            "n": 2,
        },
    ),
    "arrows": (
        "Convert dates to ISO format.\n\n3 May 2021 -> 2021-05-03\nJan 1st, 1999 -> 1999-01-01\nthe ides of March 44 -> 0044-03-15\n",
        {"instruction": "Convert dates to ISO format.", "n": 3, "first": ("3 May 2021", "2021-05-03"), "kind": "text"},
    ),
    "fat arrows with bullets and quotes": (
        'Turn British spelling into American spelling.\n\nExamples:\n- "colour" => "color"\n- "centre" => "center"\n',
        {"instruction": "Turn British spelling into American spelling.", "demos": [("colour", "color"), ("centre", "center")]},
    ),
    "unicode arrows, numbered": (
        "Name the animal's young.\n\n1. dog → puppy\n2. cat → kitten\n3. horse → foal\n",
        {"n": 3, "last": ("horse", "foal"), "not_says": ["→"]},
    ),
    "markdown table": (
        "Detect the language of the sentence: English, German or French.\n\n| Sentence | Language |\n|---|---|\n| Guten Tag | German |\n| Good morning | English |\n| Bonjour | French |\n",
        {"n": 3, "first": ("Guten Tag", "German"), "kind": "label", "labels": ("English", "German", "French"), "not_says": ["|"]},
    ),
    "table with several inputs and a number column": (
        "Does the hypothesis follow?\n\n| # | Premise | Hypothesis | Label |\n|--|--|--|--|\n| 1 | A dog runs. | An animal moves. | yes |\n| 2 | A dog runs. | A cat sleeps. | no |\n",
        {
            "demos": [
                ("Premise: A dog runs.\nHypothesis: An animal moves.", "yes"),
                ("Premise: A dog runs.\nHypothesis: A cat sleeps.", "no"),
            ]
        },
    ),
    "label table": (
        "Route the ticket to a queue.\n\n| Queue | Meaning |\n|---|---|\n| billing | invoices and payments |\n| hardware | broken devices |\n| access | passwords, accounts |\n\nTicket: {ticket}",
        {
            "kind": "label",
            "labels": ("billing", "hardware", "access"),
            "n": 0,
            "says": ["| billing | invoices and payments |"],
            "not_says": ["{ticket}", "Ticket:"],
        },
    ),
    "jsonl in a fence": (
        'Label the sentiment.\n\n```jsonl\n{"input": "great", "output": "pos"}\n{"input": "awful", "output": "neg"}\n```\n',
        {"demos": [("great", "pos"), ("awful", "neg")], "instruction": "Label the sentiment.", "kind": "label", "labels": ("pos", "neg")},
    ),
    "json array": (
        'Extract the city and the date.\n\nExamples:\n[\n  {"text": "Rome on Monday", "output": {"city": "Rome", "day": "Monday"}},\n  {"text": "Friday, Oslo", "output": {"city": "Oslo", "day": "Friday"}}\n]\n',
        {
            "n": 2,
            "first": ("Rome on Monday", '{"city":"Rome","day":"Monday"}'),
            "kind": "fields",
            "metric": "field_f1",
            "instruction": "Extract the city and the date.",
        },
    ),
    "chat messages as json": (
        'You are a rude waiter.\n\n{"messages": [{"role": "user", "content": "A coffee, please."}, {"role": "assistant", "content": "If I must."}, {"role": "user", "content": "Thanks!"}, {"role": "assistant", "content": "Whatever."}]}\n',
        {"demos": [("A coffee, please.", "If I must."), ("Thanks!", "Whatever.")], "instruction": "You are a rude waiter."},
    ),
    "chatml": (
        "Answer like a pirate.\n<|im_start|>user\nHello\n<|im_end|>\n<|im_start|>assistant\nAhoy!\n<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n",
        {"demos": [("Hello", "Ahoy!")], "instruction": "Answer like a pirate."},
    ),
    "chat with a baker": (
        """You are a friendly baker in a small town. Answer customers' questions about your bread in one or two warm sentences.

Customer: Do you have rye bread today?
Baker: We do! It came out of the oven an hour ago and still crackles.

Customer: Is the sourdough vegan?
Baker: It is, my dear: flour, water, salt and patience, nothing else.

Customer: Do you bake on Sundays?
Baker: On Sundays even the oven sleeps, but Saturday's loaf keeps well.
""",
        {
            "n": 3,
            "first": ("Do you have rye bread today?", "We do! It came out of the oven an hour ago and still crackles."),
            "kind": "text",
            "not_says": ["Customer:", "Baker:"],
        },
    ),
    "user and assistant": (
        "Rewrite the sentence politely.\n\nUser: Give me the salt.\nAssistant: Could you pass me the salt, please?\nUser: Shut the door.\nAssistant: Would you mind closing the door?\n",
        {"n": 2, "instruction": "Rewrite the sentence politely."},
    ),
    "tags": (
        "Fix the grammar.\n\n<examples>\n<example>\n<input>He go home.</input>\n<output>He goes home.</output>\n</example>\n<example>\n<input>I has two dog.</input>\n<output>I have two dogs.</output>\n</example>\n</examples>\n\n<input>{{INPUT}}</input>\n",
        {"demos": [("He go home.", "He goes home."), ("I has two dog.", "I have two dogs.")], "instruction": "Fix the grammar."},
    ),
    "tags with multi-line bodies": (
        "Summarise the dialogue.\n<text>\nAnn: I am late.\nBob: Again?\n</text>\n<summary>\nAnn is late again.\n</summary>\n",
        {"demos": [("Ann: I am late.\nBob: Again?", "Ann is late again.")], "instruction": "Summarise the dialogue."},
    ),
    "entity aliases": (
        """Given a name from an encyclopaedia, list other names that the same entity goes by. Separate them with semicolons; write NONE where there are none.

Input: "The Big Apple"
Output: "New York City; NYC; Gotham"

Input: "JFK (president)"
Output: "John F. Kennedy; Jack Kennedy; John Fitzgerald Kennedy"

Input: "Mount Fuji"
Output: "Fujisan; Fujiyama"
""",
        {"n": 3, "first": ("The Big Apple", "New York City; NYC; Gotham"), "kind": "text", "says": ["write NONE where"]},
    ),
    "product list": (
        """Write a product listing as one line: NAME - PRICE - three selling points.

Product: a folding bicycle for commuters, 12 kg, 499 euros
Listing: FoldRide - 499 EUR - light, folds in ten seconds, fits under a desk

Product: a hand-cranked coffee mill made of beech, 45 euros
Listing: BeechMill - 45 EUR - quiet, needs no power, grinds fine or coarse
""",
        {
            "n": 2,
            "first": (
                "a folding bicycle for commuters, 12 kg, 499 euros",
                "FoldRide - 499 EUR - light, folds in ten seconds, fits under a desk",
            ),
            "says": ["NAME - PRICE"],
            "kind": "text",
        },
    ),
    "japanese headings": (
        "レビューを「肯定」か「否定」に分類してください。\n\n入力：とても美味しかったです。\n出力：肯定\n\n入力：二度と行きません。\n出力：否定\n\n入力：{text}\n出力：",
        {
            "n": 2,
            "first": ("とても美味しかったです。", "肯定"),
            "kind": "label",
            "labels": ("肯定", "否定"),
            "language": "ja",
            "not_says": ["入力"],
        },
    ),
    "japanese to python": (
        """次の日本語の指示を、Pythonのコード一行に変換してください。

日本語: リストxを逆順にする
Python: x[::-1]

日本語: 文字列sを小文字にする
Python: s.lower()

日本語: ファイルfを一行ずつ表示する
Python: for line in open(f): print(line)
""",
        {"n": 3, "first": ("リストxを逆順にする", "x[::-1]"), "language": "ja", "metric": "chrf", "kind": "text"},
    ),
    "english prompt, japanese to python": (
        'Write one line of Python for a Japanese instruction. Use the names in it.\n\nInput: "dのキーを並べ替える"\nOutput: "sorted(d)"\n\nInput: "pを削除する"\nOutput: "os.remove(p)"\n',
        {"demos": [("dのキーを並べ替える", "sorted(d)"), ("pを削除する", "os.remove(p)")], "metric": "chrf", "language": "en"},
    ),
    "chinese recipes": (
        """根据食材写出一道家常菜的做法，用三句话说明。

输入：鸡蛋、西红柿、葱
输出：先把鸡蛋打散炒熟盛出。再炒西红柿至出汁。最后倒回鸡蛋，撒葱花。

输入：土豆、牛肉
输出：牛肉焯水切块。土豆去皮切块。一起炖一个小时。
""",
        {
            "n": 2,
            "first": ("鸡蛋、西红柿、葱", "先把鸡蛋打散炒熟盛出。再炒西红柿至出汁。最后倒回鸡蛋，撒葱花。"),
            "language": "zh",
            "kind": "text",
            "not_says": ["输入"],
        },
    ),
    "incomplete last demonstration (CI/CD)": (
        """Explain in one sentence what a step of a CI/CD pipeline does.

Input: run: pip install -e .[dev]
Output: Installs the package with its development tools in editable mode.

Input: uses: actions/checkout@v4
Output: Fetches the repository so that later steps can read it.

Input: run: docker build -t app:latest .
""",
        {
            "n": 2,
            "last": ("uses: actions/checkout@v4", "Fetches the repository so that later steps can read it."),
            "instruction": "Explain in one sentence what a step of a CI/CD pipeline does.",
            "note": "docker build",
        },
    ),
    "qa over context": (
        """Answer the question from the context. Copy the words.

Context: The bridge was opened in 1932 by Jack Lang.
Question: When was it opened?
Answer: 1932

Context: Honey never spoils. Jars were found in tombs.
Question: Where were jars found?
Answer: in tombs

Context: {context}
Question: {question}
Answer:""",
        {
            "n": 2,
            "first": ("Context: The bridge was opened in 1932 by Jack Lang.\nQuestion: When was it opened?", "1932"),
            "instruction": "Answer the question from the context. Copy the words.",
            "kind": "text",
        },
    ),
    "date normalisation with anchors": (
        """Normalise the temporal expression to TIMEX format, given the date of the document.

Input: [tomorrow] Let us meet tomorrow. (document date: 2020-03-01)
Output: 2020-03-02

Input: [last year] Sales fell last year. (document date: 2019-07-11)
Output: 2018
""",
        {"n": 2, "first": ("[tomorrow] Let us meet tomorrow. (document date: 2020-03-01)", "2020-03-02"), "kind": "text"},
    ),
    "german": (
        "Ordne die Nachricht einer der Kategorien zu.\n\nKategorien: Lob, Kritik, Frage\n\nEingabe: Der Kuchen war herrlich!\nAusgabe: Lob\n\nEingabe: Wann öffnen Sie?\nAusgabe: Frage\n",
        {"kind": "label", "labels": ("Lob", "Kritik", "Frage"), "n": 2, "language": "de", "says": ["Kategorien: Lob, Kritik, Frage"]},
    ),
    "french": (
        "Traduis la phrase en anglais.\n\nEntrée : Le chat dort.\nSortie : The cat sleeps.\n\nEntrée : Il pleut.\nSortie : It is raining.\n",
        {"demos": [("Le chat dort.", "The cat sleeps."), ("Il pleut.", "It is raining.")], "language": "fr", "kind": "text"},
    ),
    "spanish": (
        "Clasifica el comentario como positivo o negativo.\n\nEntrada: Me encanta.\nSalida: positivo\n\nEntrada: Es horrible.\nSalida: negativo\n",
        {"kind": "label", "labels": ("positivo", "negativo"), "language": "es", "n": 2},
    ),
    "italian": (
        "Rispondi alla domanda con una parola.\n\nDomanda: Qual è la capitale d'Italia?\nRisposta: Roma\n\nDomanda: Di che colore è il cielo?\nRisposta: azzurro\n",
        {"n": 2, "first": ("Qual è la capitale d'Italia?", "Roma"), "language": "it"},
    ),
    "portuguese": (
        "Classifique a mensagem como spam ou legítima.\n\nMensagem: Ganhe dinheiro já\nRótulo: spam\n\nMensagem: A reunião é às dez\nRótulo: legítima\n",
        {"n": 2, "kind": "label", "labels": ("spam", "legítima"), "language": "pt"},
    ),
    "markdown headings": (
        "# Task\nShorten the sentence.\n\n### Input\nThe committee has come to the decision to postpone.\n### Output\nThe committee postponed.\n\n### Input\nIt is raining in a heavy manner.\n### Output\nIt rains heavily.\n",
        {
            "n": 2,
            "first": ("The committee has come to the decision to postpone.", "The committee postponed."),
            "says": ["Shorten the sentence."],
        },
    ),
    "bold headings and numbered examples": (
        "Give the opposite.\n\n**Example 1**\n**Input:** hot\n**Output:** cold\n\n**Example 2**\n**Input:** big\n**Output:** small\n",
        {"demos": [("hot", "cold"), ("big", "small")], "instruction": "Give the opposite."},
    ),
    "rules between examples": (
        "Guess the genre.\n---\nText: A detective finds a body.\nGenre: crime\n---\nText: Two androids fall in love.\nGenre: science fiction\n---\nText: [INSERT TEXT]\nGenre:",
        {
            "demos": [("A detective finds a body.", "crime"), ("Two androids fall in love.", "science fiction")],
            "instruction": "Guess the genre.",
        },
    ),
    "one line per demonstration": (
        "Is the number prime? Answer yes or no.\n\nInput: 7 Output: yes\nInput: 8 Output: no\nInput: 13 | Output: yes\n",
        {"demos": [("7", "yes"), ("8", "no"), ("13", "yes")], "kind": "label", "labels": ("yes", "no")},
    ),
    "multi-line code outputs": (
        'Write the function.\n\nInput: add two numbers\nOutput:\n```python\ndef add(a, b):\n    return a + b\n```\n\nInput: greet\nOutput:\n```python\ndef greet(name):\n    x = {"n": name}\n\n    return f"Hi {x}"\n```\n',
        {
            "n": 2,
            "last": ("greet", 'def greet(name):\n    x = {"n": name}\n\n    return f"Hi {x}"'),
            "metric": "chrf",
            "first": ("add two numbers", "def add(a, b):\n    return a + b"),
        },
    ),
    "nested json outputs": (
        'Extract the order as JSON.\n\nInput: two teas for Ann\nOutput: {"customer": {"name": "Ann"}, "items": [{"what": "tea", "n": 2}]}\n\nInput: one {large} coffee for Bo\nOutput:\n{\n  "customer": {"name": "Bo"},\n  "items": [{"what": "coffee } large", "n": 1}]\n}\n',
        {"n": 2, "first": ("two teas for Ann", '{"customer": {"name": "Ann"}, "items": [{"what": "tea", "n": 2}]}'), "kind": "fields"},
    ),
    "braces in demonstrations": (
        "Fill the template.\n\nInput: name=Ann, template=Hello {name}!\nOutput: Hello Ann!\n\nInput: name=Bo, template={name}, come in.\nOutput: Bo, come in.\n",
        {"n": 2, "first": ("name=Ann, template=Hello {name}!", "Hello Ann!")},
    ),
    "alternating fences": (
        "Port the snippet from Python 2 to Python 3.\n\nFor example:\n```\nprint x\n```\nbecomes\n```\nprint(x)\n```\n",
        {"demos": [("print x", "print(x)")], "says": ["Python 3"]},
    ),
    "prose example": (
        'Make the noun plural. For example, "mouse" becomes "mice" and "house" becomes "houses".',
        {"demos": [("mouse", "mice"), ("house", "houses")], "says": ["Make the noun plural."]},
    ),
    "score from one to five": (
        "Rate how helpful the answer is on a scale from 1 to 5.\n\nText: Just google it.\nScore: 1\n\nText: First open the lid, then ...\nScore: 5\n",
        {"kind": "score", "low": 1.0, "high": 5.0, "metric": "spearman", "n": 2},
    ),
    "similarity 0-5 without demonstrations": (
        "How similar in meaning are the two sentences? Give a similarity score (0-5).\n\nSentence 1: {a}\nSentence 2: {b}\n",
        {"kind": "score", "low": 0.0, "high": 5.0, "n": 0, "not_says": ["{a}"]},
    ),
    "labels in a sentence": (
        "Decide whether the message is spam or ham. Answer with `spam` or `ham` only.",
        {"kind": "label", "labels": ("spam", "ham"), "n": 0},
    ),
    "one of with a colon": (
        "Name the intent of the request. It must be one of: book_flight, cancel, other_thing.\n\n<text>",
        {"kind": "label", "labels": ("book_flight", "cancel", "other_thing"), "not_says": ["<text>"]},
    ),
    "into with a list and an or": (
        "Sort each headline into World, Sports, Business, or Sci/Tech.",
        {"kind": "label", "labels": ("World", "Sports", "Business", "Sci/Tech")},
    ),
    "quoted labels": (
        'Classify the tweet. The label is one of "very happy", "so-so" and "sad".',
        {"kind": "label", "labels": ("very happy", "so-so", "sad")},
    ),
    "numbered label list": (
        'Which department should handle the mail? Choose one of the following:\n\n1. Sales\n2. Support\n3. Human Resources\n\nMail:\n"""\n{mail}\n"""',
        {"kind": "label", "labels": ("Sales", "Support", "Human Resources"), "not_says": ['"""', "{mail}"]},
    ),
    "bold bullets with dashes": (
        "Classify the bug report.\n\n## Categories\n- **ui** – looks wrong\n- **crash** – stops\n- **slow** – takes long\n",
        {"kind": "label", "labels": ("ui", "crash", "slow")},
    ),
    "json enum": (
        'Reply with JSON that fits {"type": "object"}; the field is {"enum": ["low", "medium", "high"]}. Classify the urgency.',
        {"labels_in": ("low", "medium", "high")},
    ),
    "json template": (
        'Read the invoice and return JSON:\n{"number": "A-17", "total": 12.5, "paid": true}\n',
        {"kind": "fields", "n": 0, "says": ['"number": "A-17"']},
    ),
    "yes or no": ("Does the comment mention a price? Answer yes or no.", {"kind": "label", "labels": ("yes", "no")}),
    "placeholder in a sentence": (
        "Translate the text '{text}' into French. Keep the tone.",
        {"instruction": "Translate the text into French. Keep the tone.", "kind": "text"},
    ),
    "placeholder after the instruction": (
        "Classify the following review: {{ review }}\nAnswer positive or negative.",
        {"kind": "label", "labels": ("positive", "negative"), "not_says": ["{{", "}}"], "says": ["Classify the following review:"]},
    ),
    "slot with its lead": (
        "Correct the typos.\n\nInput: teh\nOutput: the\n\nInput: adn\nOutput: and\n\nNow do the same for this:\n\nInput: <insert text here>\nOutput:",
        {"demos": [("teh", "the"), ("adn", "and")], "instruction": "Correct the typos."},
    ),
    "instruction after the demonstrations": (
        "Input: 2\nOutput: two\n\nInput: 3\nOutput: three\n\nSpell out the number.",
        {"demos": [("2", "two"), ("3", "three")], "instruction": "Spell out the number."},
    ),
    "context that is no demonstration": (
        "Context: We run a bakery.\nClassify mails as order or complaint.\n\nText: two loaves please\nLabel: order\n\nText: mouldy bread\nLabel: complaint\n",
        {"n": 2, "first": ("two loaves please", "order"), "says": ["We run a bakery."], "labels": ("order", "complaint")},
    ),
    "description of input and output": (
        "Input: a customer's mail.\nOutput: one of the labels refund, delivery, other.\n",
        {"n": 0, "kind": "label", "labels": ("refund", "delivery", "other"), "says": ["Input: a customer's mail."]},
    ),
    "unknown headings that repeat": (
        "Guess the mood.\n\nPoem: O rose, thou art sick.\nMood: gloomy\n\nPoem: I wandered lonely as a cloud.\nMood: serene\n",
        {"n": 2, "first": ("O rose, thou art sick.", "gloomy"), "instruction": "Guess the mood."},
    ),
    "rationale between": (
        "Solve it.\n\nQuestion: 3 apples and 4 apples?\nReasoning: 3 + 4 = 7.\nAnswer: 7\n\nQuestion: 9 minus 2?\nReasoning: 9 - 2 = 7\nAnswer: 7\n",
        {"n": 2, "first": ("3 apples and 4 apples?", "7")},
    ),
    "word for word without demonstrations": (
        "Summarise the article in two sentences.\n\nBe neutral; keep names.\n",
        {"instruction": "Summarise the article in two sentences.\n\nBe neutral; keep names.", "n": 0, "kind": "text"},
    ),
    "only demonstrations": (
        "Q: 2+2\nA: four\n\nQ: 1+1\nA: two",
        {"n": 2, "instruction": "Give the output for the input, as the examples do."},
    ),
    "windows line ends": (
        "Say it louder.\r\n\r\nInput: hi\r\nOutput: HI\r\n\r\nInput: no\r\nOutput: NO\r\n",
        {"demos": [("hi", "HI"), ("no", "NO")], "instruction": "Say it louder."},
    ),
    "several paragraphs in every output": (
        "Write a letter.\n\nInput: thanks\nOutput: Dear Ann,\n\nthank you.\n\nInput: sorry\nOutput: Dear Bo,\n\nI am sorry.\n",
        {"demos": [("thanks", "Dear Ann,\n\nthank you."), ("sorry", "Dear Bo,\n\nI am sorry.")]},
    ),
    "question generation": (
        "Turn the fact into a question.\n\nFact: Water boils at 100 degrees.\nQuestion: At what temperature does water boil?\n\nFact: Rome lies on the Tiber.\nQuestion: On which river does Rome lie?\n",
        {"n": 2, "first": ("Water boils at 100 degrees.", "At what temperature does water boil?")},
    ),
    "assignments in quotes": (
        """Answer the question from the passage; the subject can range from Math, History and Sports.

Here are examples with input questions and context passages, along with their expected outputs:

input="Question: What city did the match take place in? Context: The match was played in Santa Clara, California."
output="Santa Clara"

input="Question: What river runs through Warsaw? Context: The Vistula is the axis of Warsaw."
output="Vistula"
""",
        {
            "n": 2,
            "first": (
                "Question: What city did the match take place in? Context: The match was played in Santa Clara, California.",
                "Santa Clara",
            ),
            "kind": "text",
            "instruction": "Answer the question from the passage; the subject can range from Math, History and Sports.",
        },
    ),
    "answers that begin with the answer is": (
        "Solve.\n\nQ: Tom has 3 apples.\nA: Let us think. 3. The answer is 3.\n\nQ: Ann has 4.\nA: The answer is 4.\n",
        {"n": 2, "last": ("Ann has 4.", "The answer is 4.")},
    ),
    "labels in tags": (
        "<instructions>\nClassify the text.\n</instructions>\n<labels>\n- a1\n- b2\n</labels>\n<text>{{text}}</text>",
        {"kind": "label", "labels": ("a1", "b2"), "not_says": ["<text>"]},
    ),
    "if and else": ("Return true if the review mentions a price, else false.", {"kind": "label", "labels": ("true", "false")}),
    "capitals with slashes": (
        "Label each sentence POSITIVE/NEGATIVE/NEUTRAL.",
        {"kind": "label", "labels": ("POSITIVE", "NEGATIVE", "NEUTRAL")},
    ),
    "a whole markdown document": (
        "## Instructions\n\nYou label support tickets.\n\n## Labels\n\n| Label | When to use |\n|---|---|\n| `bug` | broken |\n| `feature` | wish |\n\n## Examples\n\n### Example 1\n**Ticket:** It crashes\n**Label:** bug\n\n### Example 2\n**Ticket:** Please add dark mode\n**Label:** feature\n\n## Ticket\n\n{{ticket}}\n",
        {
            "demos": [("It crashes", "bug"), ("Please add dark mode", "feature")],
            "labels": ("bug", "feature"),
            "says": ["| `bug` | broken |"],
            "not_says": ["Example", "{{", "## Ticket"],
        },
    ),
    "languages as headings": (
        "Translate English to French.\n\nEnglish: cheese\nFrench: fromage\n\nEnglish: bread\nFrench: pain\n\nEnglish: {{word}}\nFrench:",
        {"demos": [("cheese", "fromage"), ("bread", "pain")], "instruction": "Translate English to French."},
    ),
    "blank lines within every input": (
        "Task: Answer.\n\nExample 1:\nQuestion: a?\n\nContext: long text\nsecond line\nAnswer: b\n\nExample 2:\nQuestion: c?\n\nContext: other\nAnswer: d\n",
        {"n": 2, "first": ("Question: a?\nContext: long text\nsecond line", "b"), "instruction": "Task: Answer."},
    ),
    "labels on bare indented lines": (
        "Sentiment analysis\n\nClasses:\n  positive: the writer is happy\n  negative: the writer is unhappy\n\nText: [TEXT]",
        {"kind": "label", "labels": ("positive", "negative"), "not_says": ["[TEXT]"]},
    ),
    "a form at the end under names of its own": (
        "You answer a help line. Choose the best first step.\n\nNote: {input}\n\nBest first step:\n",
        {"instruction": "You answer a help line. Choose the best first step."},
    ),
    "an instruction that ends in a placeholder": (
        "You know films.\nClassify this review: {review}\n",
        {"instruction": "You know films.\nClassify this review:"},
    ),
}
