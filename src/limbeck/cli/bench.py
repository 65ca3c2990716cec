"""`limbeck bench`: the studies that the package brings along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

DATA = click.option(
    "--data", "shared", metavar="DIR", help="Public data sets, one folder each (default ../shared/data, or $LIMBECK_SHARED/data)."
)
FULL = click.option("--full", is_flag=True, help="The whole grid, not the core.")
TABLE = click.option("--table", is_flag=True, help="Run nothing: print what there is, and draw the page.")


def public_sets(given: str | None) -> Path:
    return Path(given) if given else Path(os.environ.get("LIMBECK_SHARED", "../shared")) / "data"


@click.group()
def bench() -> None:
    """Studies over public data sets: resumable grids whose results are files."""


@bench.command()
@click.option("--folder", default="bench/adapters", metavar="DIR", help="The study: default.json, experiments/, results/.")
@DATA
@click.option("--only", multiple=True, metavar="NAME", help="Experiments or data sets; more than once.")
@FULL
@click.option("--jobs", default=1, show_default=True, help="Cells at once, each with its own process and threads.")
@TABLE
def adapters(folder: str, shared: str | None, only: tuple[str, ...], full: bool, jobs: int, table: bool) -> None:
    """Every adapter on the same base, rows, seeds and steps or time; the same command again runs what is missing."""
    from limbeck.bench import cells, tables

    place = Path(folder)
    grid = cells.cells(place, full, only)
    if not table:
        public = public_sets(shared)
        todo = [c for c in grid if c.result is None]
        click.echo(f"{len(grid)} cells, {len(grid) - len(todo)} there, {len(todo)} to run", err=True)
        cells.read_set(public, grid[0].data, "test").__next__()  # says at once what is missing
        with ThreadPoolExecutor(jobs) as pool:
            for cell, failed in pool.map(lambda c: (c, run_one(c, public)), todo):
                click.echo(f"{time.strftime('%H:%M')} {cell.data} seed {cell.seed} {cell.experiment}: {failed or said(cell)}", err=True)
    click.echo(tables.markdown(grid))
    click.echo(f"page  {tables.write_page(place, grid, 'Adapters: full fine-tuning against parameter-efficient ones')}", err=True)


@bench.command()
@click.option("--folder", default="bench/stepwise", metavar="DIR", help="The study: default.json, experiments/, results/.")
@DATA
@click.option("--only", multiple=True, metavar="NAME", help="Experiments, data sets, bases or shares of rows; more than once.")
@FULL
@click.option("--base", "places", multiple=True, metavar="NAME=PLACE", help="Where a base of the grid lies, if it is not on the shelf.")
@TABLE
def stepwise(folder: str, shared: str | None, only: tuple[str, ...], full: bool, places: tuple[str, ...], table: bool) -> None:
    """Distilling step-by-step beside the controls that its claims need; the same command again runs what is missing."""
    from limbeck.bench import stepgrid, steppage, steptables

    place = Path(folder)
    grid = stepgrid.grid(place, full, only)
    if not table:
        public = public_sets(shared)
        run_stepwise(place, grid, public, dict(p.split("=", 1) for p in places))
    click.echo(steptables.markdown(place, grid))
    click.echo(f"page  {steppage.write(place, grid)}", err=True)


@bench.command()
@click.option("--folder", default="bench/generalization", metavar="DIR", help="The study: default.json, experiments/, results/.")
@DATA
@click.option("--dataset", "--only", "only", multiple=True, metavar="NAME", help="Data sets, arms, bases or sizes; more than once.")
@FULL
@click.option("--scratch", metavar="DIR", help="Where bases are kept once they are trained (default: a folder of the user's cache).")
@TABLE
def generalization(folder: str, shared: str | None, only: tuple[str, ...], full: bool, scratch: str | None, table: bool) -> None:
    """What training on facts misses: in context, fine-tuned, fine-tuned on what follows; the same command again runs what is missing."""
    from limbeck.bench import stepgrid
    from limbeck.bench.knowledge import page, tables

    place = Path(folder)
    grid = stepgrid.grid(place, full, only)
    if not table:
        run_generalization(grid, public_sets(shared), Path(scratch or click.get_app_dir("limbeck-bench")))
    click.echo(tables.markdown(grid))
    click.echo(f"page  {page.write(place, grid)}", err=True)


def run_generalization(grid: list[Any], public: Path, scratch: Path) -> None:
    """All cells in this process. A cell that fails is missing, the grid goes on."""
    from limbeck.bench import cells
    from limbeck.bench.knowledge import study

    todo = [c for c in grid if c.result is None]
    click.echo(f"{len(grid)} cells, {len(grid) - len(todo)} there, {len(todo)} to run", err=True)
    for cell in todo:
        with cells.claimed(cell) as ours:
            if not ours:
                continue
            name = f"{time.strftime('%H:%M:%S')} {cell.data} {cell.rows} base {cell.base} seed {cell.seed} {cell.experiment}"
            try:
                found = study.run_cell(cell, scratch, public)
            except Exception as failed:
                click.echo(f"{name}: failed: {type(failed).__name__}: {' '.join(str(failed).split())[:300]}", err=True)
                continue
            cells.write(cell, {**found, "stamp": cells.stamp(Path.cwd())})
            shares = ", ".join(f"{split} {one['sum']:.3f}" for split, one in found["splits"].items())
            click.echo(f"{name}: {shares}, {found['steps']} steps in {found['train_s']:.0f} s", err=True)


@bench.command()
@click.argument("subject", metavar="RUN_OR_MODEL")
@click.option("--tasks", required=True, metavar="T,T", help="mmlu, mmlu_generative, gsm8k, gsm8k_cot, bbh, nq_open, triviaqa, humaneval; own: "
              "the run's test rows; any other task of lm-evaluation-harness.")  # fmt: skip
@click.option(
    "--model",
    "spec",
    metavar="SPEC",
    help="Who answers, where it is not the run's student: a base, prompt@BASE, a student folder, a teacher.",
)
@click.option("--limit", type=click.IntRange(min=1), help="So many rows, of every subtask.")
@click.option("--shots", type=click.IntRange(min=0), help="Demonstrations (default: as published tables have it).")
@click.option("--rows", metavar="FILE", help="Rows for --tasks own, with a student folder.")
@DATA
@click.option("--include", metavar="DIR", help="Further tasks: YAML files of lm-evaluation-harness.")
@click.option("--chat", is_flag=True, help="Contexts go through the model's chat template.")
@click.option(
    "--run-code", is_flag=True, help="HumanEval may run what the model wrote, confined; in a container for a model you do not trust."
)
@click.option("--price", metavar="IN/OUT", help="USD per million tokens of a teacher.")
@click.option(
    "--budget", "budget_usd", default=1.0, show_default=True, type=click.FloatRange(min=0), help="Most that a teacher may cost, USD."
)
@click.option("--out", metavar="DIR", help="Results (default: RUN/harness, else runs/harness/NAME).")
@click.option("--json", "machine", is_flag=True, help="JSON on stdout, for machines.")
def harness(
    subject: str, tasks: str, spec: str | None, limit: int | None, shots: int | None, rows: str | None, shared: str | None, include: str | None,
    chat: bool, run_code: bool, price: str | None, budget_usd: float, out: str | None, machine: bool,
) -> None:  # fmt: skip
    """A run's student, a student folder, a base or a teacher under lm-evaluation-harness; public rows from --data where they are
    there. The same command again goes on where it stood."""
    from contextlib import ExitStack, closing

    from limbeck.bench.harness import How, quiet
    from limbeck.bench.harness import bench as run_bench
    from limbeck.bench.harness_open import TEACHER, open_model
    from limbeck.bench.harness_table import markdown

    quiet()  # before a model is read
    model = open_model(spec or subject, price)
    place = results_folder(subject, spec, out)
    how: dict[str, Any] = {"out": place, "data": public_sets(shared), "shots": shots, "limit": limit, "chat": chat, "code": run_code}
    how |= {"include": Path(include) if include else None, "note": Told()}
    with ExitStack() as stack:
        if model.kind == TEACHER:
            from limbeck.log import Log
            from limbeck.planning import asker
            from limbeck.teachers.store import Store

            place.mkdir(parents=True, exist_ok=True)
            log = Log()
            store = stack.enter_context(closing(Store(place / "teacher.sqlite", cap_usd=budget_usd, log=log)))
            how["ask"] = asker(store, model.what, log, None)("harness")
        found = run_bench(model, [t.strip() for t in tasks.split(",") if t.strip()], How(**how), subject, rows)
        paid = f", {store.spent_usd:.4f} USD" if model.kind == TEACHER else ""
    if machine:
        return click.echo(json.dumps([r.model_dump(mode="json") for r in found]))
    from importlib.metadata import version

    said = f"{model.name}; limbeck {version('limbeck')}, lm-eval {version('lm-eval')}{paid}; items, prompts and versions in {place}"
    click.echo(markdown(found, said))


def results_folder(subject: str, spec: str | None, out: str | None) -> Path:
    """Beside the run; a model other than the run's student in a folder of its own."""
    if out:
        return Path(out)
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in spec or subject).strip("-.")[-60:]
    if (Path(subject) / "run.json").is_file():
        return Path(subject) / "harness" / (name if spec else "student")
    return Path("runs") / "harness" / name


class Told:
    """Says now and then how far a task is."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, task: str, done: int, total: int) -> None:
        if time.monotonic() - self.last > 15:
            self.last = time.monotonic()
            click.echo(f"{time.strftime('%H:%M:%S')} {task}: {done} of {total} contexts", err=True)


def run_stepwise(place: Path, grid: list[Any], public: Path, bases: dict[str, str]) -> None:
    """All cells in this process: torch is imported once. A cell that fails is missing, the grid goes on; the same command in
    several processes shares the grid out."""
    from limbeck.bench import cells, stepwise

    default, _ = cells.read_grid(place)
    todo = [c for c in grid if c.result is None]
    click.echo(f"{len(grid)} cells, {len(grid) - len(todo)} there, {len(todo)} to run", err=True)
    splits = {name: stepwise.Splits(public, name, default) for name in dict.fromkeys(c.data for c in todo)}
    stepwise.write_teachers(place, splits)
    for cell in todo:
        with cells.claimed(cell) as ours:
            if ours:
                name = f"{time.strftime('%H:%M:%S')} {cell.data} {cell.base} {cell.rows} rows seed {cell.seed} {cell.experiment}"
                click.echo(f"{name}: {run_stepwise_cell(cell, splits[cell.data], bases)}", err=True)


def run_stepwise_cell(cell: Any, splits: Any, bases: dict[str, str]) -> str:
    """What became of it, in words; its result is written where there is one."""
    from limbeck.bench import cells, stepwise

    try:
        found = stepwise.run_cell(cell, splits, bases)
    except Exception as failed:
        return f"failed: {type(failed).__name__}: {' '.join(str(failed).split())[:300]}"
    cells.write(cell, {**found, "stamp": cells.stamp(Path.cwd())})
    best = found["best"]
    shares = [f"{split} {best[split]['right'] / best[split]['n']:.3f}" for split in ("valid", "test")]
    return f"{', '.join(shares)}, {found['steps']} steps in {found['train_s']:.0f} s"


def run_one(cell: Any, public: Path) -> str:
    """The cell in a process of its own; "" or why it failed. A cell that fails is missing, the grid goes on."""
    from limbeck.bench import cells

    rows = {split: list(cells.read_set(public, cell.data, split)) for split in ("train", "test")}
    rows["similar"] = list(cells.read_set(public, "glue_stsb", "test"))[:200]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cell.json"
        given = {"experiment": cell.experiment, "data": cell.data, "seed": cell.seed, "config": cell.config, "rows": rows}
        file.write_text(json.dumps(given), encoding="utf-8")
        threads = str(cell.config["threads"])
        done = subprocess.run(
            [sys.executable, "-m", "limbeck.bench.adapters", str(file)],
            capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
    cells.write(cell, {**json.loads(done.stdout.strip().splitlines()[-1]), "stamp": cells.stamp(Path.cwd())})
    return ""


def said(cell: Any) -> str:
    found = cell.result
    return ", ".join(f"{b.replace('_', ' ')} {found[b]['value']:.3f} in {found[b]['train_s']:.0f} s" for b in ("equal_steps", "equal_time"))
