"""Everything that we ship, one greppable line each: name -> ("module:attribute", what it is). Importing it imports none of it."""

from __future__ import annotations

from functools import cache

from limbeck.errors import UsageError

SHELVES: dict[str, dict[str, tuple[str, str]]] = {
    "adapters": {
        "majority": ("limbeck.adapters.trivial:MAJORITY", "the most frequent answer (the mean, for scores); the floor"),
        "nearest": ("limbeck.adapters.trivial:NEAREST", "the answer of the most similar training row"),
        "prompt": (
            "limbeck.adapters.prompt:PROMPT",
            "nothing moves: the teacher, or a base that writes, is asked; + few:k, many, rag:k; prompt:cot asks for reasons first",
        ),
        "head": ("limbeck.adapters.head:HEAD", "regression on frozen embeddings; seconds to fit"),
        "full": ("limbeck.adapters.full:FULL", "every weight of the base"),
        "ia3": ("limbeck.adapters.ia3:IA3", "learnt vectors that rescale keys, values and the feed-forward"),
        "lora": ("limbeck.adapters.lora:LORA", "low-rank updates beside the linear layers; lora:r16"),
        "qlora": ("limbeck.adapters.qlora:QLORA", "lora beside a base in four bits (NF4); qlora:r16"),
        "loftq": ("limbeck.adapters.loftq:LOFTQ", "qlora that starts by making up for the quantising; loftq:r16:int2"),
        "qalora": ("limbeck.adapters.qalora:QALORA", "a base in groups of 4, 3 or 2 bits that stays so when merged; qalora:4:g32"),
        "loreft": ("limbeck.adapters.loreft:LOREFT", "edits of hidden states at first and last tokens; loreft:r4:f3l3"),
        "direft": ("limbeck.adapters.loreft:DIREFT", "the same without the orthonormal rows; direft:r4:f3l3"),
    },
    "objectives": {
        "sft": ("limbeck.objectives.sft:SFT", "supervised fine-tuning: cross-entropy, or squared error for scores"),
        "stepwise": ("limbeck.objectives.stepwise:STEPWISE", "label and rationale as two tasks, the label deployed; stepwise:echo"),
    },
    "contexts": {
        "random": (
            "limbeck.contexts.shots:pick_random",
            "few:k, the same k rows for every call, balanced over labels; many, as many rows as fit",
        ),
        "nearest": ("limbeck.contexts.shots:pick_nearest", "few:k:nearest, the k rows with most words in common"),
        "dense": ("limbeck.contexts.shots:pick_dense", "few:k:dense, the k rows nearest in meaning (embeddings)"),
        "diverse": ("limbeck.contexts.shots:pick_diverse", "few:k:diverse, near the input and unlike each other (MMR)"),
        "balanced": ("limbeck.contexts.shots:pick_balanced", "few:k:balanced, the nearest of each label in turn"),
    },
    "structures": {
        "plain": ("limbeck.render_structure:PLAIN", "the prompt as it is, the form of the answer, the input"),
        "expert": ("limbeck.render_structure:EXPERT", "a role before it, and the instruction spelt out after it"),
        "strict": ("limbeck.render_structure:STRICT", "the parts between tags, the reply shown as a form to fill in"),
        "steps": ("limbeck.render_structure:STEPS", "reasons first, then the answer, which is read off the end"),
        "complete": ("limbeck.render_structure:COMPLETE", "role, details, form and tags; the reply is the answer alone"),
        "complete-steps": ("limbeck.render_structure:COMPLETE_STEPS", "all five levers: role, details, form, steps, tags"),
        "turns": ("limbeck.render_structure:TURNS", "demonstrations as turns of a talk, not as one text"),
        "sandwich": ("limbeck.render_structure:SANDWICH", "the instruction before the input and again after it, under headings"),
    },
    "metrics": {
        "accuracy": ("limbeck.metrics.labels:ACCURACY", "share of rows answered right"),
        "macro_f1": ("limbeck.metrics.labels:MACRO_F1", "mean F1 over labels, each label counting the same"),
        "spearman": ("limbeck.metrics.numbers:SPEARMAN", "rank correlation of scores"),
        "pearson": ("limbeck.metrics.numbers:PEARSON", "linear correlation of scores"),
        "mae": ("limbeck.metrics.numbers:MAE", "mean absolute error of scores (lower is better)"),
        "exact_match": ("limbeck.metrics.text:EXACT_MATCH", "same text after lower-casing and squeezing blanks and punctuation"),
        "token_f1": ("limbeck.metrics.text:TOKEN_F1", "F1 over the words of answer and gold"),
        "chrf": ("limbeck.metrics.text:CHRF", "chrF++ (character and word n-grams), 0 to 1"),
        "rouge_l": ("limbeck.metrics.text:ROUGE_L", "F1 of the longest common subsequence of words"),
        "bertscore": ("limbeck.metrics.bertscore:BERTSCORE", "F1 of the best match of every token's state; XLM-R, or minilm offline"),
        "numeric": ("limbeck.metrics.numeric:NUMERIC", "the number in the answer is the gold number; units are not compared"),
        "equation": ("limbeck.metrics.equation:EQUATION", "the sum in the answer comes to what the gold sum comes to"),
        "code": ("limbeck.metrics.code:CODE", "Python that passes its tests, or prints what gold prints; LIMBECK_RUN_CODE=1"),
        "field_f1": ("limbeck.metrics.fields:FIELD_F1", "F1 over the key-value pairs of a JSON object"),
        "fields_exact": ("limbeck.metrics.fields:FIELDS_EXACT", "every key and value right"),
    },
    "teachers": {
        "openai": ("limbeck.teachers.openai_api:open_teacher", "any OpenAI-compatible endpoint: http://host/v1#model, or a model name"),
        "openai-batch": ("limbeck.teachers.openai_batch:open_teacher", "openai-batch:<as above>: half the price, answers within a day"),
        "recorded": ("limbeck.teachers.recorded:open_teacher", "recorded:<file.jsonl>: replies by task input; free, offline"),
        "local": ("limbeck.teachers.local:open_teacher", "local:<hub id or path>: a model in this process"),
    },
    "exporters": {
        "folder": ("limbeck.exporters.folder:FOLDER", "safetensors, tokenizer, task, card; loads with limbeck.load"),
    },
    "retrievers": {
        "docs": ("limbeck.contexts.search:PassageIndex", "rag:k with --docs DIR: BM25 and embeddings, fused by reciprocal rank"),
    },
    "embedders": {
        "openai": ("limbeck.teachers.embeddings:open_embedder", "any OpenAI-compatible /v1/embeddings: http://host/v1#model, openai:MODEL"),
        "local": ("limbeck.engine.embed:Encoder", "an encoder in this process: minilm, a hub id, or a folder"),
    },
    "filters": {
        "declined": ("limbeck.curate.checks:declined", "rows that are a teacher's refusal instead of a row"),
        "placeholder": ("limbeck.curate.checks:placeholder", "rows with a hole that nobody filled: [Your Name], lorem ipsum"),
    },
    "sources": {
        "hub": ("limbeck.sources.hub:open_source", "hub: data sets of the Hugging Face Hub, rows streamed, never a whole set"),
        "folder": ("limbeck.sources.folder:open_source", "folder:<dir>: a tree of data sets with cards, or one README table"),
        "catalogue": ("limbeck.sources.catalogue:open_source", "well-known public sets in our words, shipped; rows come from the Hub"),
    },
    "bases": {
        "minilm": ("limbeck.bases.embedded:MINILM", "all-MiniLM-L6-v2, 22.7M parameters, Apache-2.0, embedded"),
        "tiny": ("limbeck.bases.embedded:TINY", "encoder-decoder of our own, 1.9M parameters: a toy to try and test with, embedded"),
        "tiny-lm": ("limbeck.bases.embedded:TINY_LM", "decoder-only of our own, 1.9M parameters: a toy to try and test with, embedded"),
    },
}


def names(shelf: str) -> dict[str, str]:
    """{name: "module:attribute"} of one shelf, plug-ins included."""
    if shelf not in SHELVES:
        raise UsageError(f"there is no shelf {shelf!r}", f"the shelves are {', '.join(SHELVES)}", "limbeck list")
    found = {name: where for name, (where, _) in SHELVES[shelf].items()}
    for name, where in plug_ins().get(shelf, {}).items():
        found.setdefault(name, where)
    return found


def about(shelf: str) -> dict[str, str]:
    """{name: one line} of one shelf."""
    lines = {name: line for name, (_, line) in SHELVES[shelf].items()}
    return {name: lines.get(name, f"from {where.partition(':')[0]}") for name, where in names(shelf).items()}


@cache
def plug_ins() -> dict[str, dict[str, str]]:
    """shelf -> {name: "module:attribute"} of the entry points of installed packages, read once."""
    from importlib.metadata import distributions

    found: dict[str, dict[str, str]] = {}
    for point in (p for package in distributions() for p in package.entry_points):
        group, _, shelf = point.group.partition(".")
        if group == "limbeck":
            found.setdefault(shelf, {})[point.name] = point.value
    return found
