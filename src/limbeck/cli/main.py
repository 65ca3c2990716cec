"""`limbeck`: one group, each command imported when it is called, every error in three parts and with its exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from limbeck.cli.lazy import lazy
from limbeck.errors import LimbeckError
from limbeck.need import extras_told

COMMANDS = {
    "run": ("limbeck.cli.run:run", "From a prompt file to a verdict and a student."),
    "rows": ("limbeck.cli.rows:rows", "From a prompt alone to labelled rows, with where each came from."),
    "report": ("limbeck.cli.show:report", "The table of a finished run, rebuilt without a model."),
    "explain": ("limbeck.cli.show:explain", "Where a row came from, and what each candidate answered on it."),
    "label": ("limbeck.cli.label:label", "Label rows of a run by hand, most worth it first."),
    "judge": ("limbeck.cli.judge:judge", "A model's opinion of the answers, apart from the report."),
    "predict": ("limbeck.cli.predict:predict", "Answer new rows with a student."),
    "prompt": ("limbeck.cli.prompt:prompt", "Which structure of a prompt is best, tried on dev rows."),
    "advise": ("limbeck.cli.advise:advise", "What to try first: prompting, retrieval or training, and why."),
    "find": ("limbeck.cli.find:find", "Data sets or base models that fit a prompt."),
    "list": ("limbeck.cli.shelf:list_", "What there is: adapters, metrics, teachers, ..."),
    "info": ("limbeck.cli.shelf:info", "One thing from a shelf, whole; `info recipes` for the grammar."),
    "bench": ("limbeck.cli.bench:bench", "Studies: every adapter on the same rows, resumable."),
    "doctor": ("limbeck.cli.doctor:doctor", "What is installed, keys present, cores, GPU, disk."),
}


@click.group(cls=lazy(COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="limbeck")
def limbeck() -> None:
    """Turn a task prompt into a small model that you own, and prove whether it beats the prompt.

    limbeck run prompt.md --rows rows.csv       the same command again resumes
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point. Exit codes: 0 ok, 1 our bug, 2 usage or bad input, 3 missing prerequisite, 4 provider failed,
    5 nothing beat the best baseline (--require-win), 130 Ctrl-C."""
    alone = arguments is None  # this process is for the command, and for nothing else
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    machine = "--json" in arguments
    try:
        with extras_told():
            limbeck.main(arguments, standalone_mode=False)
        if alone and "torch" in sys.modules:  # to tear it down takes seconds, and all that was done is on the disk
            leave(0)
        sys.exit(0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say(
            machine,
            {
                "error": "Interrupted",
                "what": "stopped by you",
                "have": "what was finished is kept",
                "do": "the same command again resumes",
                "exit": 130,
            },
        )
        leave(130)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "limbeck"
        say(machine, {"error": "UsageError", "what": error.format_message(), "have": "", "do": f"{command} --help", "exit": 2})
        sys.exit(2)
    except LimbeckError as error:
        say(machine, error.as_dict())
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("LIMBECK_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        say(
            machine,
            {
                "error": "Bug",
                "what": what,
                "have": "this is a bug of ours; nothing that was paid for is lost",
                "do": "LIMBECK_TRACEBACK=1 with the same command shows where",
                "exit": 1,
            },
        )
        sys.exit(1)


def leave(code: int) -> NoReturn:
    """At once: worker threads may still wait for a provider, and modules would be torn down one by one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def say(machine: bool, error: dict[str, Any]) -> None:
    if machine:
        print(json.dumps(error, ensure_ascii=False))
        return
    lines = [click.style("Error: ", fg="red", bold=True) + str(error["what"])]
    if error["have"]:
        lines.append(f"  have: {error['have']}")
    if error["do"]:
        lines.append(f"  try:  {error['do']}")
    click.echo("\n".join(lines), err=True)
