"""The words by which a prompt shows its parts, in the languages that we read: headings, label lists, example leads."""

from __future__ import annotations

import re
import unicodedata


def _set(text: str) -> frozenset[str]:
    return frozenset(word.strip() for line in text.strip().splitlines() for word in line.split(",") if word.strip())


# What stands over an input. Several of them in one record (context, question) make one input.
INPUTS = _set("""
input, text, question, q, query, sentence, review, tweet, message, email, e-mail, mail, ticket, document, doc, passage, article
paragraph, post, comment, utterance, request, context, premise, hypothesis, sentence 1, sentence 2, title, body, subject, headline
description, prompt, user, human, customer, x, problem, source, dialogue, dialog, conversation, transcript, statement, product, snippet
user input, input text, user message, example input, sample input, given, fact, options, choices, answer choices, you, claim, evidence
eingabe, frage, satz, nachricht, anfrage, benutzer, kunde, rezension, beispieleingabe
entrée, texte, phrase, utilisateur, avis, client, entrada, texto, pregunta, pergunta, frase, usuario, usuário, mensaje, mensagem, reseña, cliente
testo, domanda, ingresso, utente, messaggio, recensione, invoer, tekst, vraag, wejście, вход, текст, вопрос, ввод
入力, 質問, 文, 文章, テキスト, 問題, 问题, 輸入, 输入, 文本, 句子, 评论, 問, 用户, 제목, 입력, 질문, 문장, 텍스트
""")

# What stands over an output.
OUTPUTS = _set("""
output, answer, a, label, category, class, sentiment, intent, response, reply, result, target, completion, translation, summary
prediction, assistant, ai, bot, agent, chatbot, y, solution, emotion, topic, code, score, rating, expected, expected output, correct answer
final answer, correct label, json, tag, classification, verdict, model, sample output, example output, gold, entities, keywords, date, sql, python
ausgabe, antwort, ergebnis, kategorie, klasse, bewertung, beispielausgabe, assistent, stimmung
sortie, réponse, étiquette, catégorie, classe, résultat, salida, respuesta, etiqueta, categoría, resultado, sentimiento, asistente
saída, resposta, rótulo, categoria, sentimento, uscita, risposta, etichetta, risultato, uitvoer, antwoord, wyjście, выход, ответ, метка, вывод
出力, 回答, 答え, ラベル, 分類, 感情, コード, 結果, 結果, 输出, 輸出, 答案, 标签, 类别, 结果, 情感, 答, 助手, 출력, 답변, 답, 레이블, 정답
""")

# Why an answer is right: no part of input or output.
RATIONALES = _set("""
rationale, reasoning, reason, explanation, thought, thoughts, because, why, step by step, chain of thought, let's think step by step
begründung, erklärung, raison, explication, justification, razonamiento, explicación, ragionamento, spiegazione, explicação, 理由, 説明, 解释, 推理
""")

# Headings that belong to the instruction and end whatever stood before.
STOPS = _set("""
task, instruction, instructions, labels, categories, classes, intents, tags, topics, note, notes, rules, guidelines, constraints, format
output format, answer format, response format, input format, allowed labels, possible labels, allowed values, definitions, label definitions, requirements, important, role, system
hint, remember, warning, schema, output schema, json schema, scale, goal, background, criteria, steps, labels and definitions, possible answers
aufgabe, anweisung, anweisungen, kategorien, klassen, hinweis, regeln, tâche, consigne, consignes, catégories, étiquettes, classes, remarque, règles
tarea, instrucciones, categorías, etiquetas, nota, reglas, compito, istruzioni, categorie, etichette, regole, tarefa, instruções, categorias, rótulos, regras
タスク, 指示, カテゴリ, カテゴリー, 注意, 任务, 指令, 说明, 类别列表, 要求
""")

_MARKS = " \t#*_=~`>[]【】「」<>:：-•+."


def plain(heading: str) -> str:
    """A heading without marks, number and case: "### **Input 2:**" -> "input"; "Sentence 1" keeps its number."""
    text = unicodedata.normalize("NFKC", heading).casefold().strip(_MARKS)
    text = " ".join(re.sub(r"[_\s]+", " ", text).split())
    if text in INPUTS or text in OUTPUTS:
        return text
    return re.sub(r"\s*(?:#|no\.?|nr\.?)?\s*\(?\d{1,3}\)?$", "", text).strip(_MARKS)


# A line that announces demonstrations, or stands between two of them.
_EXAMPLE = r"(?:examples?|demonstrations?|demos?|samples?|few[- ]shot(?: examples?)?|shots?|beispiele?|exemples?|ejemplos?|esempi(?:o)?|exemplos?|voorbeeld(?:en)?|пример[ы]?)"
_EXAMPLE_CJK = r"(?:例題|例子|示例|例|サンプル|样例|範例|예시|예)"
EXAMPLE_LINE = re.compile(
    rf"^\W*(?:(?:here|these|below|following|the|are|is|some|a|few|an|another|for|as|more|and|with|worked|input|output|/|hier|sind|einige|zum|ein|weiteres|voici|quelques|un|par|autre|"
    rf"aquí|hay|algunos|por|otro|ecco|alcuni|altro|aqui|estão|alguns|outro|first|second|third|next|last|one|two|three|four|five|\d+)[\s,]+){{0,6}}"
    rf"(?:{_EXAMPLE}(?:[\s,]+(?:below|of|the|expected|inputs?|outputs?|and|pairs?|task|behaviou?r|follow|follows|are|for|you|here|in|format)){{0,6}}[\s#]*\d*|e\.g\.?|z\.\s?b\.?|以下は?.{{0,8}}{_EXAMPLE_CJK}.{{0,6}}|{_EXAMPLE_CJK}\s*\d*)\W*$",
    re.I,
)
RULE_LINE = re.compile(r"^\s*(?:[-*_=~]\s*){3,}\s*$|^\s*#{2,}\s*$")
WRAPPER_TAG = re.compile(
    r"^\s*</?(?:examples?|demonstrations?|demos?|shots?|few[-_]?shots?|samples?|cases?)(?:\s[^<>]{0,60})?/?>\s*$", re.I
)


def is_separator(line: str) -> bool:
    """Between demonstrations: a rule, `Example 2:`, `</example>`."""
    return bool(RULE_LINE.match(line) or WRAPPER_TAG.match(line) or (len(line) <= 120 and EXAMPLE_LINE.match(line)))


# The nouns that a label list goes by.
LABEL_NOUN = (
    r"(?:labels?|categor(?:y|ies)|class(?:es)?|intents?|tags?|topics?|sentiments?|emotions?|departments?|types?|options?|values?|buckets?|queues?|priorit(?:y|ies)|"
    r"kategorien?|klassen?|catégories?|étiquettes?|categorías?|etiquetas?|clases?|categorie|etichette|classi|categorias?|rótulos?|метки|категории|"
    r"ラベル|カテゴリー?|分類|标签|标签|类别|分类|類別|標籤|选项|레이블|카테고리)"
)
