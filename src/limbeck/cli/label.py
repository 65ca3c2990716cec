"""`limbeck label`: a person labels rows of a run in the terminal; every answer is on the disk before the next row is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from limbeck.types import Example, Kind, Task

SKIP, BACK, QUIT = "s", "b", "q"


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path())
@click.option("--n", default=20, show_default=True, type=click.IntRange(min=1), help="How many rows to ask about.")
@click.option("--from", "place", default="test", show_default=True, type=click.Choice(("test", "unlabelled", "train")), help="Which rows.")
@click.option("--row", "row_id", default=None, help="One row by its id, answered or not.")
@click.option("--show-answer", is_flag=True, help="Show the answer that is there, and take it with Enter. Quick, but it sways.")
@click.option("--json-in", "answers", default=None, type=click.Path(), help='Answers from a JSON lines file: {"id": ..., "output": ...}')
def label(folder: str, n: int, place: str, row_id: str | None, show_answer: bool, answers: str | None) -> None:
    """Label rows of a run by hand, those most worth it first. Answers go to 2-human.jsonl at once; `limbeck report`
    uses them. The answer that a row came with is not shown, so that it cannot sway you."""
    from limbeck.human import any_row, every_row, rows_to_label
    from limbeck.run import RunFolder, read_json

    run = RunFolder(folder).must_exist()
    task = read_json(run.task, Task)
    if answers is not None:
        kept = take_answers(run, task, Path(answers))
    else:
        rows = [any_row(every_row(run), row_id, run)] if row_id else rows_to_label(run, place)
        if not rows:
            return click.echo(f"No row of {place} is left to label; --row ID changes one, --from takes others.")
        kept = Session(run, task, rows[:n], show_answer).ask()
    click.echo(f"{kept} answers kept in {run.path / '2-human.jsonl'}. Next: limbeck report {folder}")


class Session:
    """Rows, one after the other, on stdin and stdout. Ends at the last row, at q, and at the end of stdin."""

    def __init__(self, run: Any, task: Task, rows: Sequence[Example], show_answer: bool):
        self.run, self.task, self.rows, self.show_answer = run, task, rows, show_answer
        self.kept: set[str] = set()

    def ask(self) -> int:
        """How many rows were answered."""
        click.echo(f"{self.task.instruction.strip()}\n")
        click.echo(f"{len(self.rows)} rows. {commands_of(self.options(self.rows[0]))}\n")
        at = 0
        while at < len(self.rows):
            row = self.rows[at]
            click.echo(shown(self.task, row, at, len(self.rows), self.show_answer))
            step = self.answer(row)
            if step == 0:
                break
            at = max(0, at + step)
        return len(self.kept)

    def answer(self, row: Example) -> int:
        """Asks until there is an answer or a command; gives how many rows to go on: 1, -1, or 0 to end."""
        from limbeck.human import keep_answer
        from limbeck.report.format import clean

        while True:
            click.echo("> ", nl=False)
            try:
                line = sys.stdin.readline()
            except UnicodeDecodeError:
                click.echo("  these bytes are no text in UTF-8")
                continue
            text = line.strip()
            if not sys.stdin.isatty():  # a terminal shows what is typed; a pipe does not, and the rows would run together
                click.echo(clean(text))
            if not line:
                click.echo()
                return 0
            if (step := command(text, self.options(row))) is not None:
                return step
            if not text and self.show_answer and row.output is not None:
                text = row.output
            output, wrong = understood(self.task, row, text)
            if output is None:
                click.echo(f"  {wrong}")
                continue
            keep_answer(self.run, row, output, shown=self.show_answer and row.output is not None)
            self.kept.add(row.id)
            return 1

    def options(self, row: Example) -> Sequence[str]:
        from limbeck.render import allowed_answers

        return allowed_answers(self.task, row)


def command(text: str, options: Sequence[str]) -> int | None:
    """s, b, q, or :s, :b, :q where an option has that very name."""
    steps = {SKIP: 1, BACK: -1, QUIT: 0}
    names = {option.strip().casefold() for option in options}
    if text.startswith(":"):
        return steps.get(text[1:])
    return steps.get(text) if text not in names else None


def commands_of(options: Sequence[str]) -> str:
    taken = {SKIP, BACK, QUIT} & {option.strip().casefold() for option in options}
    colon = ":" if taken else ""
    return f"{colon}{SKIP} = skip, {colon}{BACK} = back, {colon}{QUIT} = quit; every answer is kept at once."


def shown(task: Task, row: Example, at: int, total: int, show_answer: bool) -> str:
    from limbeck.render import allowed_answers, span
    from limbeck.report.format import clean

    lines = [row.input]
    options = allowed_answers(task, row)
    numbered = can_number(options)
    lines += [f"  {f'{i}. ' if numbered else ''}{option}" for i, option in enumerate(options, 1)]
    if task.kind is Kind.SCORE:
        lines.append(f"  a number{span(task)}")
    if task.kind is Kind.FIELDS:
        lines.append(f"  a JSON object, on one line: {task.output_schema or '{}'}")
    if show_answer and row.output is not None:
        lines.append(f"  there is: {row.output}   (Enter takes it)")
    return "\n".join([click.style(clean(f"[{at + 1}/{total}] row {row.id}"), bold=True), *map(clean, lines)])


def can_number(options: Sequence[str]) -> bool:
    """Not where an option is a number itself: "2" would mean two things."""
    return not any(option.strip().lstrip("+-").replace(".", "", 1).isdigit() for option in options)


def understood(task: Task, row: Example, text: str) -> tuple[str | None, str]:
    """(the answer in the task's spelling, "") or (None, what is wrong with it)."""
    from limbeck.human import read_answer
    from limbeck.render import allowed_answers

    if not text:
        return None, "nothing was typed; s skips the row"
    options = allowed_answers(task, row)
    if options and can_number(options) and text.isdigit():
        at = int(text)
        return (options[at - 1], "") if 1 <= at <= len(options) else (None, f"there are 1 to {len(options)}")
    if (found := read_answer(task, row, text)) is not None:
        return found, ""
    if options:
        return None, "type a number or the text of one option"
    return None, {Kind.SCORE: "type one number in the range", Kind.FIELDS: "type one JSON object with every required field"}.get(
        task.kind, "this cannot be read as an answer"
    )


# ---- answers from a file ------------------------------------------------------------------------------------------


def take_answers(run: Any, task: Task, path: Path) -> int:
    """How many were kept. Good lines are kept even where others are bad; then BadRows names the first bad one."""
    from limbeck.errors import BadRows, UsageError
    from limbeck.human import every_row, human_answers, keep_answer

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}", str(error), 'a JSON lines file: {"id": ..., "output": ...}') from error
    rows, known = every_row(run), human_answers(run)
    bad: list[str] = []
    kept = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = read_line(line, rows, task)
        if isinstance(found, str):
            bad.append(f"{path} line {number}: {found}")
        else:
            keep_answer(run, *found, known=known)
            kept += 1
    if bad:
        do = f"correct them and give the file again; the other {kept} are kept"
        raise BadRows(f"{len(bad)} of {kept + len(bad)} answers cannot be used", bad[0], do)
    return kept


def read_line(line: str, rows: Mapping[str, Example], task: Task) -> tuple[Example, str] | str:
    """(row, answer), or what is wrong with the line. A number is an answer here, never the number of an option."""
    from limbeck.human import read_answer

    try:
        said = json.loads(line)
        row_id, output = str(said["id"]), said["output"]
    except (ValueError, KeyError, TypeError):
        return 'it is not of the form {"id": ..., "output": ...}'
    if row_id not in rows:
        return f"the run has no row {row_id!r}"
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    found = read_answer(task, rows[row_id], text)
    return f"{text[:60]!r} is no possible answer to row {row_id}" if found is None else (rows[row_id], found)
