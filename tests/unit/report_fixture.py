"""Realistic reports for the renderings to show: made from simulated answers, so that every number fits the others."""

from __future__ import annotations

from collections import Counter
from random import Random

from limbeck import stats
from limbeck.types import Gap, Kind, Report, Row, Score, Task, Value, Versus

LABELS = (
    "refund", "exchange", "late delivery", "damaged item", "wrong item", "billing question", "cancel order",
    "change address", "warranty claim", "product question", "complaint about staff", "other",
)  # fmt: skip
SENTENCES = (
    "My kettle arrived on Tuesday and it leaks from the handle, what can you do about it?",
    "I was charged twice for order 88123, please look into this.",
    "Still waiting since the 3rd. The tracking page says 'in transit' for nine days now.",
    "Where do I send the blue one back? I asked for the green.",
    "The man at your counter laughed at me when I asked for a receipt.",
)


def candidate(name, group, graded, dev, seed, **facts):
    low, high = stats.bootstrap_means({name: graded}, seed=seed, resamples=200)[name]
    n = len(graded)
    test = Score(metric="accuracy", value=sum(graded) / n, low=low, high=high, n=n)
    return Row(recipe=name, id=name, group=group, dev=Score(metric="accuracy", value=dev, n=n), test=test, **facts)


def history(final: float, epochs: int, rng: Random) -> tuple[dict[str, float], ...]:
    return tuple(
        {
            "epoch": e,
            "train_loss": 2.4 * 0.62**e + 0.05 * rng.random(),
            "dev": final - 0.35 * 0.55**e + 0.012 * (rng.random() - 0.5),
        }
        for e in range(1, epochs + 1)
    )


def calibrated(accuracy: float, n: int, rng: Random):
    sure = [min(0.999, max(0.1, rng.gauss(accuracy, 0.16))) for _ in range(n)]
    right = [rng.random() < c**1.25 for c in sure]
    gap, bins = stats.ece(sure, right)
    return {"ece": gap, "calibration": tuple(bins), "thresholds": tuple(stats.threshold_curve(sure, right))}


def twelve_labels() -> Report:
    """A student wins; nine candidates, one failed and one skipped."""
    rng, n = Random(5), 400
    hard = [rng.random() for _ in range(n)]
    plan = [  # name, group, accuracy, p50 ms, usd per 1,000, size MB, trainable, training s, memory MB, epochs
        ("majority", "baseline", 0.14, 0.002, 2e-5, None, None, 0.001, None, 0),
        ("nearest@minilm", "baseline", 0.815, 9.4, 1.3e-4, 91.2, None, 3.1, 512.0, 0),
        ("prompt@teacher", "prompt", 0.842, 812.0, 0.214, None, None, None, None, 0),
        ("prompt+few:8:nearest@teacher", "prompt", 0.885, 904.0, 0.61, None, None, None, None, 0),
        ("head@minilm", "student", 0.882, 9.1, 1.27e-4, 91.1, 4_620, 2.2, 498.0, 0),
        ("lora:r8@minilm", "student", 0.915, 11.3, 1.57e-4, 90.9, 172_428, 184.0, 1_340.0, 6),
        ("full@minilm", "student", 0.922, 9.2, 1.28e-4, 90.9, 22_718_604, 311.0, 2_210.0, 6),
    ]  # fmt: skip
    answers = {name: [float(h < acc + 0.12 * (rng.random() - 0.5)) for h in hard] for name, _, acc, *_ in plan}
    rival = "prompt+few:8:nearest@teacher"
    rows = []
    for name, group, acc, p50, usd, size, trainable, train_s, memory, epochs in plan:
        found = stats.paired_difference(answers[name], answers[rival], seed=0, resamples=200)
        versus = Versus(other=rival, **{**found._asdict()}, test="exact McNemar")
        student = group == "student"
        rows.append(
            candidate(
                name,
                group,
                answers[name],
                acc - 0.01,
                0,
                versus=None if name == rival else versus,
                more=(Score(metric="macro_f1", value=acc - 0.03, low=acc - 0.06, high=acc, n=n),),
                statuses={"ok": n - 3, "malformed": 3} if group == "prompt" else {"ok": n},
                latency_p50_ms=p50,
                latency_p95_ms=p50 * 1.7,
                throughput_rows_s=None if group == "prompt" else 4000 / p50,
                usd_per_1000=usd,
                break_even_calls=8_400 if student else None,
                size_mb=size,
                trainable_parameters=trainable,
                train_s=train_s,
                peak_memory_mb=memory,
                history=history(acc - 0.01, epochs, rng) if epochs else (),
                fitted_on="train+dev" if name == "head@minilm" else "train",
                values=(
                    Value(name="learning_rate", value=5e-4, why="10 x that of full fine-tuning, which is 5e-5"),
                    Value(name="epochs", value=6, why="1,200 rows: at least 200 steps, stopped by dev"),
                    Value(name="rank", value=8, why="set by you"),
                )
                if epochs
                else (),
                **(calibrated(acc, n, rng) if student else {}),
            )
        )
    rows.append(
        Row(recipe="lora:r8+stepwise@tiny", id="s", group="student", state="failed", reason="ModelError: loss was not finite at step 41")
    )
    rows.append(
        Row(
            recipe="prompt+many@teacher",
            id="m",
            group="prompt",
            state="skipped",
            reason="1,200 rows are 96,000 tokens; the teacher reads 32,768",
        )
    )
    confusion = Counter()
    for i, good in enumerate(answers["full@minilm"]):
        gold = LABELS[i % 12]
        confusion[gold, gold if good else rng.choice([*LABELS, "(malformed)"])] += 1
    winner = next(r for r in rows if r.recipe == "full@minilm")
    gap = winner.versus
    return Report(
        task=Task(name="shop mail", instruction="Sort the mail of a shop.", kind=Kind.LABEL, labels=LABELS, metric="accuracy", notes=("the labels were read from a bullet list",)),
        settings={"prompt": "mail.md", "rows": ["mail.jsonl"], "budget_usd": 5.0, "seed": 0, "overrides": {"rank": 8}},
        versions={"limbeck": "0.1.0", "python": "3.11.9", "torch": "2.6.0", "transformers": "5.1.0"},
        sizes={"train": 1200, "dev": 200, "test": n},
        split_how="Cut at random with seed 0, each label in proportion; near duplicates stay on one side.",
        origins={"gold": 1650, "teacher": 150},
        rejected={"exact duplicate": 41, "near duplicate across splits": 7, "label not in the task": 2},
        warnings=("prompt@teacher: 3 malformed of 400 answers count as wrong", "12 rows are longer than 256 tokens and were cut"),
        rows=tuple(rows),
        chance=1 / 12,
        best_baseline=rival,
        best_student="full@minilm",
        winner="full@minilm",
        verdict=f"Ship full@minilm: it beats {rival}, accuracy {winner.test.value:.3f} against {next(r.test.value for r in rows if r.recipe == rival):.3f}, "
        f"difference {gap.difference:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], at <$0.01 instead of $0.61 per 1,000 calls.",
        advice="ship",
        rule="Chosen on dev by accuracy: the best student, and the best of baselines and prompts. Both are then scored on the test rows, once.",
        partial=True,
        ledger={"spent_usd": 0.4132, "cap_usd": 5.0, "replies": 950, "by_purpose": {"label": {"replies": 150, "spent_usd": 0.031}, "compare": {"replies": 800, "spent_usd": 0.3822}}},
        confusion=tuple({"gold": g, "predicted": p, "n": k} for (g, p), k in confusion.items()),
        errors=tuple(
            {
                "id": f"row-{i}",
                "input": SENTENCES[i % 5] * (1 + 4 * (i == 2)),
                "gold": LABELS[i],
                "answers": {r.recipe: LABELS[i] if (i + j) % 3 == 0 else LABELS[(i + j) % 4] for j, r in enumerate(rows[:7])},
                "confidence": 0.98 - i / 30,
            }
            for i in range(8)
        ),
        growth=tuple({"rows": r, "dev": 0.9 - 6 / r**0.7} for r in (150, 300, 600, 1200)),
        not_deterministic=("attention kernels with 2 threads: the last digit of a loss may differ",),
        seconds={"parse": 0.4, "split": 1.9, "train": 512.0, "compare": 731.0},
    )  # fmt: skip


def prompting_wins() -> Report:
    """A choice task, four options per row; the students are far behind; users' text tries to break out."""
    rng, n = Random(8), 150
    hard = [rng.random() for _ in range(n)]
    plan = [("majority", "baseline", 0.25, 0.0), ("prompt@teacher", "prompt", 0.9, 1.9), ("head@minilm", "student", 0.41, 0.0)]
    answers = {name: [float(h < acc) for h in hard] for name, _, acc, _ in plan}
    rows = [
        candidate(
            name, group, answers[name], acc, 1,
            usd_per_1000=usd,
            latency_p50_ms=1_450.0 if group == "prompt" else 7.5,
            latency_p95_ms=4_100.0 if group == "prompt" else 9.0,
            versus=None if group == "prompt" else Versus(other="prompt@teacher", **stats.paired_difference(answers[name], answers["prompt@teacher"], seed=0, resamples=200)._asdict(), test="exact McNemar"),
        )
        for name, group, acc, usd in plan
    ]  # fmt: skip
    evil = "<script>alert('x')</script> | `pipe` **bold** \x1b[31mred\x1b[0m \ud800 [link](javascript:1)"
    return Report(
        task=Task(name=evil, instruction=evil, kind=Kind.CHOICE, metric="accuracy"),
        settings={"prompt": evil}, versions={"limbeck": "0.1.0"}, sizes={"train": 600, "dev": 100, "test": n}, split_how=evil,
        origins={evil: 850}, rejected={}, warnings=(evil,), rows=tuple(rows), chance=0.25,
        best_baseline="prompt@teacher", best_student="head@minilm", winner="prompt@teacher",
        verdict="Keep prompting: prompt@teacher beats every student, accuracy 0.900 against 0.413.",
        advice="prompt", rule="The best on dev is scored on test.", partial=False, ledger={"spent_usd": 0.31, "replies": 250},
        errors=({"id": "1", "input": evil, "gold": evil, "answers": {"head@minilm": evil, "prompt@teacher": "x"}, "confidence": None},),
        test_scored=3,
    )  # fmt: skip


def scores() -> Report:
    """A number per row: unbounded error, lower is better; more rows are asked for."""
    rows = tuple(
        Row(
            recipe=name, id=name, group=group, dev=Score(metric="mae", value=mae + 0.02, n=90),
            test=Score(metric="mae", value=mae, low=mae - 0.08, high=mae + 0.09, n=90, not_scored=missing),
            more=(Score(metric="spearman", value=rho, n=90),),
            versus=Versus(other="prompt@teacher", difference=mae - 0.61, low=mae - 0.73, high=mae - 0.5, p_value=p, test="paired bootstrap") if name != "prompt@teacher" else None,
            usd_per_1000=usd, latency_p50_ms=ms, latency_p95_ms=ms and ms * 2,
            history=history(0.4, 3, Random(1)) if name.startswith("lora") else (),
        )
        for name, group, mae, rho, p, usd, ms, missing in [
            ("majority", "baseline", 1.21, None, 0.002, 0.0, 0.001, 0),
            ("prompt@teacher", "prompt", 0.61, 0.78, 1.0, 0.2, 700.0, 4),
            ("head@minilm", "student", 0.66, 0.73, 0.31, 0.0, 8.0, 0),
            ("lora:r8@minilm", "student", 0.58, 0.77, 0.42, 0.0, 9.0, 0),
        ]
    )  # fmt: skip
    return twelve_labels().model_copy(
        update={
            "task": Task(name="similarity", instruction="How alike?", kind=Kind.SCORE, low=0, high=5, metric="mae"), "rows": rows,
            "chance": None, "best_baseline": "prompt@teacher", "best_student": "lora:r8@minilm", "winner": "prompt@teacher",
            "verdict": "Too close to call: mae 0.580 against 0.610, difference -0.030 [-0.150, +0.080]. Label about 900 more rows to tell them apart.",
            "advice": "label-more", "confusion": (), "errors": (), "partial": False, "warnings": (),
        }
    )  # fmt: skip


def empty() -> Report:
    """Nothing could be scored."""
    return Report(
        task=Task(name="nothing", instruction="", kind=Kind.LABEL), settings={}, versions={}, sizes={}, split_how="", origins={}, rejected={},
        warnings=(), rows=(Row(recipe="head@minilm", id="h", group="student", state="failed", reason="needs pip install 'limbeck[train]'"),),
        chance=None, best_baseline=None, best_student=None, winner=None, verdict="No candidate could be scored, so there is nothing to recommend.",
        advice="none", rule="", partial=True, ledger={},
    )  # fmt: skip


def many_labels() -> Report:
    """Sixty labels: too many for a heat map."""
    rng = Random(3)
    names = tuple(f"intent_{i}" for i in range(60))
    counts = Counter((rng.choice(names), rng.choice(names)) for _ in range(300))
    base = twelve_labels()
    return base.model_copy(
        update={
            "task": base.task.model_copy(update={"labels": names}),
            "confusion": tuple({"gold": g, "predicted": p, "n": k} for (g, p), k in counts.items()),
        }
    )


def marked(**more) -> Report:
    """A synthetic test, of which persons labelled 40 rows."""
    gap = Gap(
        recipe="full@minilm",
        metric="accuracy",
        human=Score(metric="accuracy", value=0.81, low=0.7, high=0.9, n=40),
        synthetic=Score(metric="accuracy", value=0.92, low=0.9, high=0.94, n=360),
        difference=-0.11,
        low=-0.2,
        high=-0.02,
        paired=False,
    )
    worth = ({"id": "row-17", "split": "test", "input": "<b>odd</b> one", "why": "the student is unsure"},)
    update = {"synthetic_test": 360, "test_origins": {"generated": 360, "gold": 40}, "gaps": (gap,), "worth_labelling": worth, **more}
    return twelve_labels().model_copy(update=update)


EVERY = {
    "twelve_labels": twelve_labels,
    "synthetic_test": marked,
    "prompting_wins": prompting_wins,
    "scores": scores,
    "empty": empty,
    "many_labels": many_labels,
}
