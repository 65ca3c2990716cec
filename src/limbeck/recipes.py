"""The grammar of recipes, and what is refused and why.

recipe   = "majority" | "nearest" | adapter *("+" modifier) "@" base
adapter  = name *(":" arg)         modifier = name *(":" arg)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from limbeck import registry
from limbeck.adapters.prompted_base import no_writer
from limbeck.engine.load import ENCODER, family_of, family_of_name
from limbeck.engine.named import config_of_name
from limbeck.errors import UsageError
from limbeck.types import Recipe

# modifier name -> axis. A name that is here and not on its shelf is known to the grammar and not shipped yet.
AXES = {
    "few": "context",
    "many": "context",
    "rag": "context",
    "rows": "rows",
    "augment": "rows",
    "split": "rows",
    "stepwise": "objective",
    "dpo": "objective",
    "reinforce": "objective",
}
SHIPPED = {"few": r"few:[1-9]\d?(:[\w.-]+)?", "many": r"many", "rag": r"rag:[1-9]\d?", "rows": r"rows:(gold|teacher|generated)"}
SHIPPED |= {"augment": r"augment:(local|global|both)", "split": r"split:(independent|cumulative)"}
DEFAULT = {"few": ":random", "stepwise": ":separate"}  # what a modifier means without it: left out of the canonical spelling


def parse(text: str) -> Recipe:
    """The recipe in canonical spelling, without values. Raises UsageError with what was meant, perhaps."""
    spelled = text.strip()
    left, _, base = spelled.partition("@")
    head, *modifiers = [part.strip() for part in left.split("+")]
    name, *args = head.split(":")
    if name not in registry.names("adapters"):
        raise UsageError(
            f"unknown adapter {name!r} in the recipe {spelled!r}", registry.near(name, registry.names("adapters")), "limbeck list adapters"
        )
    found: dict[str, str] = {}
    for modifier in modifiers:
        axis = axis_of(modifier, spelled)
        if axis in found:
            raise UsageError(f"two modifiers of the kind {axis} in {spelled!r}", f"{found[axis]} and {modifier}", "keep one of them")
        found[axis] = modifier.removesuffix(DEFAULT.get(modifier.partition(":")[0], ""))
    recipe = Recipe(adapter=name, args=tuple(args), base=base.strip(), **found)
    refuse_nonsense(recipe, registry.take("adapters", name))
    return recipe


SPELLED = {  # for people
    "few": "few:8 or few:8:nearest, with 1 to 99 rows",
    "many": "many: as many training rows as the window holds",
    "rag": "rag:4, with 1 to 99 passages of --docs DIR",
    "rows": "rows:gold, rows:teacher or rows:generated",
    "augment": "augment:local, augment:global or augment:both, with --docs DIR",
    "split": "split:independent or split:cumulative, with --docs DIR",
    "stepwise": "stepwise, or stepwise: and one of shared, label_first, rationale_first; controls: label2x, echo, shuffled",
}


def axis_of(modifier: str, spelled: str) -> str:
    word = modifier.partition(":")[0]
    if word not in AXES:
        raise UsageError(f"unknown modifier {modifier!r} in the recipe {spelled!r}", registry.near(word, AXES), "limbeck info recipes")
    if AXES[word] == "objective" and word in registry.names("objectives"):
        known_format(word, modifier, spelled)
        return AXES[word]
    if word not in SHIPPED:
        there = [*SHIPPED, *(name for name in registry.names("objectives") if name in AXES)]
        raise UsageError(
            f"the modifier {modifier!r} in {spelled!r} is not part of this version", f"there are: {', '.join(there)}", "leave it out"
        )
    if not re.fullmatch(SHIPPED[word], modifier):
        raise UsageError(
            f"cannot read the modifier {modifier!r} in {spelled!r}",
            f"it is written {SPELLED.get(word, word)}",
            "limbeck info recipes",
        )
    if word == "few":
        known_picker(modifier, spelled)
    return AXES[word]


def known_picker(modifier: str, spelled: str) -> None:
    """Raises UsageError where nothing on the shelf picks demonstrations under this name."""
    _, k, *named = modifier.split(":")
    if named and named[0] not in registry.names("contexts"):
        have = f"nothing picks rows by {named[0]!r}; {registry.near(named[0], registry.names('contexts'))}"
        raise UsageError(f"cannot read the modifier {modifier!r} in {spelled!r}", have, f"for example few:{k}:nearest")


def known_format(name: str, modifier: str, spelled: str) -> None:
    """Raises UsageError where what stands behind an objective's colon is none of its formats."""
    _, colon, form = modifier.partition(":")
    forms = registry.take("objectives", name).args.split("|")
    if colon and form not in forms:
        have = f"{name} has no format {form!r}; {registry.near(form, forms)}"
        raise UsageError(f"cannot read the modifier {modifier!r} in {spelled!r}", have, f"for example {name}, or {name}:{forms[-1]}")


def refuse_nonsense(recipe: Recipe, adapter: registry.Adapter) -> None:
    """A combination that makes no sense is refused with the reason."""
    name, text, base = recipe.adapter, recipe.text, recipe.base
    if not adapter.needs_base and (base or recipe.args):
        raise UsageError(f"{name!r} takes no base and no argument", f"you have {text!r}", f"write {name}")
    if adapter.needs_base and not base:
        known = ", ".join(["teacher", *registry.names("bases")])
        raise UsageError(
            f"the recipe {text!r} names no base",
            f"bases: {known}, a hub id, or ./path",
            f"write {text}@{'teacher' if adapter.may_ask else 'minilm'}",
        )
    if adapter.may_ask and family_here(base) == ENCODER:
        raise no_writer(text, base)
    if adapter.may_ask and recipe.args and not recipe.asks_teacher:
        have = "its closed answers are scored, not written, so that it would argue for nothing"
        raise UsageError(f"{text!r}: a base of this machine is not asked for reasons", have, f"prompt@{base}, or {name}:cot@teacher")
    if recipe.asks_teacher and not adapter.may_ask:
        raise UsageError(
            f"{text!r}: the weights of a teacher cannot be moved", "a teacher can only be prompted", f"{name}@minilm, or prompt@teacher"
        )
    if recipe.context and adapter.group == "student":
        refuse_encoders(recipe, adapter)
    if recipe.context.partition(":")[0] == "many" and adapter.group == "student":
        raise UsageError(
            f"{text!r}: a student that trains on the rows need not read them again in every call",
            "many puts the whole training set into each prompt, and each training row would be asked with the others as its text",
            f"{name}@{base}, or prompt+many@{base}",
        )
    if names_documents(recipe) and adapter.group == "student":
        refuse_to_learn(recipe, adapter)
    for axis in ("context", "rows", "objective"):
        if axis == "context" and adapter.attach is not None:
            continue  # a student that writes reads passages and demonstrations before its input, in training and in use
        if getattr(recipe, axis) and axis not in adapter.modifiers:
            raise UsageError(
                f"{text!r}: {WHY_NOT[axis].format(name=name)}",
                f"the modifier is {getattr(recipe, axis)}",
                f"leave it out: {name}{'@' + base if base else ''}",
            )
    for arg in recipe.args:
        if not re.fullmatch(adapter.args, arg):
            words = [word for word in re.findall(r"\w+", adapter.takes) if re.fullmatch(adapter.args, word)]
            close = difflib.get_close_matches(arg, words, n=1, cutoff=0.5)
            have = f"{name} takes {adapter.takes or ('arguments of its own' if adapter.args else 'no argument')}"
            raise UsageError(
                f"cannot read {arg!r} in {text!r}", have + (f"; did you mean {close[0]}?" if close else ""), "limbeck info " + name
            )
    if recipe.objective and family_here(base):  # others: when they are loaded
        objective: registry.Objective = registry.take("objectives", recipe.objective.partition(":")[0])
        if objective.refuse:
            objective.refuse(recipe, family_of_name(base))


def refuse_encoders(recipe: Recipe, adapter: registry.Adapter) -> None:
    """An encoder sees a few hundred tokens as one vector: what is right in one passage of four is not to be read off that."""
    if adapter.attach is None or family_here(recipe.base) == ENCODER:
        what = "passages" if recipe.context.startswith("rag") else "demonstrations"
        raise UsageError(
            f"{recipe.text!r}: {recipe.base} is no model that reads {what} and writes an answer",
            f"an encoder makes one vector of all it reads; what one of several {what} says is lost in it",
            f"full+{recipe.context}@ a base that writes, or prompt+{recipe.context}@teacher",
        )


def family_here(base: str) -> str:
    """The family of a base whose config lies on this machine; "" of any other, which will say it when it is loaded."""
    if base in registry.names("bases"):
        return family_of_name(base)
    config = config_of_name(base)
    return "" if config is None else family_of(config)


def refuse_to_learn(recipe: Recipe, adapter: registry.Adapter) -> None:
    """Documents are learnt by a model that writes them, with the loss of a language model."""
    if not writes(recipe, adapter):
        raise UsageError(
            f"{recipe.text!r}: {recipe.base} cannot learn documents for questions",
            "an encoder or a regression learns answers to inputs; a text that answers nothing teaches it nothing",
            f"full+{recipe.rows}@ a base that writes, or prompt+rag:4@teacher",
        )
    if recipe.objective:
        raise UsageError(
            f"{recipe.text!r}: documents are learnt as they stand", f"{recipe.objective} needs rows with answers", "leave one of them out"
        )


def writes(recipe: Recipe, adapter: registry.Adapter) -> bool:
    return adapter.attach is not None and bool(recipe.base) and family_here(recipe.base) != ENCODER


def names_documents(recipe: Recipe) -> bool:
    return recipe.rows.partition(":")[0] in ("augment", "split")


def learns_documents(recipe: Recipe, labelled: bool) -> bool:
    """Whether this student trains on documents: where its recipe says so, or where there are no labelled rows it could train on
    (docs/decisions/009-documents-as-rows.md)."""
    if names_documents(recipe):
        return True
    return not labelled and not recipe.rows and not recipe.objective and writes(recipe, registry.take("adapters", recipe.adapter))


def uses_rows(recipe: Recipe) -> bool:
    """Whether labelled rows reach this candidate: it learns from them, or is shown some. A bare prompt reads the input alone."""
    return registry.take("adapters", recipe.adapter).group != "prompt" or recipe.context.partition(":")[0] in ("few", "many")


def learns_labels(recipe: Recipe) -> bool:
    """Whether rows that the teacher labels reach this candidate: it trains, and on more than the user's own rows."""
    return registry.take("adapters", recipe.adapter).group != "prompt" and recipe.rows not in ("rows:gold", "rows:generated")


def uses_documents(recipe: Recipe, labelled: bool) -> bool:
    """Whether documents of the user's reach this candidate otherwise than by being looked up: it learns them, or, where no row could
    be, is shown them."""
    return learns_documents(recipe, labelled) or (recipe.context == "many" and not labelled)


WHY_NOT = {
    "context": "a {name} student reads the input alone, a context would not reach it",
    "rows": "{name} trains on no rows",
    "objective": "{name} has no weights that another objective could move",
}


def parse_all(texts: Sequence[str]) -> list[Recipe]:
    """Every recipe once, in the order given."""
    found: dict[str, Recipe] = {}
    for text in texts:
        recipe = parse(text)
        found.setdefault(recipe.text, recipe)
    return list(found.values())
