"""`limbeck judge`: a model's opinion of a finished run's answers, apart from its report."""

from __future__ import annotations

import click


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path())
@click.option("--teacher", required=True, help="Who judges: as in limbeck run. Best a model that gave none of the answers.")
@click.option("--price", metavar="IN/OUT", default=None, help="USD per million tokens of the judge.")
@click.option("--n", default=100, show_default=True, type=click.IntRange(min=1), help="How many test rows.")
@click.option(
    "--budget", "budget_usd", default=1.0, show_default=True, type=click.FloatRange(min=0), help="Most that judging may cost, USD."
)
@click.option("--json", "machine", is_flag=True, help="JSON on stdout, for machines.")
def judge(folder: str, teacher: str, price: str | None, n: int, budget_usd: float, machine: bool) -> None:
    """Grades (1 to 5, as 0 to 1) of the best student and the best baseline by a model, and which it prefers, each pair in
    both orders. An opinion: it changes no verdict. The same command again asks nothing twice."""
    from contextlib import closing

    from limbeck import judging
    from limbeck.log import Log
    from limbeck.planning import asker
    from limbeck.run import RunFolder
    from limbeck.teachers import open_teacher
    from limbeck.teachers.prices import parse_price
    from limbeck.teachers.store import Store

    run = RunFolder(folder).must_exist()
    log = Log()
    opened = open_teacher(teacher, None if price is None else parse_price(price))
    with run.locked(), closing(Store(run.path / judging.STORE, cap_usd=budget_usd, log=log)) as store:
        found = judging.judge(run, asker(store, opened, log, None)("judge"), opened.model, n)
        found = found.model_copy(update={"spent_usd": round(store.spent_usd, 9)})
        judging.keep(run, found)
    if machine:
        return click.echo(found.model_dump_json())
    click.echo(f"{found.judge} on {len(found.rows)} test rows (an opinion; the verdict of the report stands)")
    for one in found.opinions:
        what = "grade" if one.against is None else f"preferred to {one.against}"
        score = one.score
        value = (
            "not scored"
            if score.value is None or score.low is None
            else f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}], {score.n} rows"
        )
        facts = ", ".join(f"{k} {v}" for k, v in sorted(one.counts.items()) if v)
        click.echo(f"  {one.candidate:24} {what:28} {value}   ({facts})")
    click.echo(f"kept in {run.path / judging.FILE}; judging has cost {found.spent_usd:.4f} USD")
