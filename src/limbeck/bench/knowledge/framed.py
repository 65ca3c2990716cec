"""The base that infers in the product's own frame, too: trained by stages on more and more facts at once, bare and framed ones mixed.

Mixed from the start: taught the frame after it could infer, a base lost the one and did not learn the other (docs/knowledge.md). Three
layers, so that what is found at a question's end can be carried to where its answer begins; two were not tried."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random

from limbeck.bench.knowledge import frame
from limbeck.bench.knowledge.arms import Training, fit
from limbeck.bench.knowledge.base import MARK, Shape, words_of
from limbeck.bench.knowledge.facts import World
from limbeck.types import sha_of

STAGES = (  # facts of an episode at most; how many are bare, quoted, framed (ten times as long); share of the steps
    (1, (24, 1, 1), 0.35),
    (2, (24, 1, 1), 0.30),
    (4, (4, 2, 2), 0.35),
)
DONE = "seconds.txt"  # in the folder that a stage leaves: CPU seconds up to there
FRAMED = Shape(layers=3, steps=4200, tokens=1024, lr=1e-3, episodes=18_000)


def framed_base(world: World, shape: Shape, seed: int, scratch: Path, threads: int = 1) -> Path:
    """Its folder, trained now or found in scratch. shape.steps, shape.episodes: of all stages together."""
    from limbeck.engine.fresh import new_causal

    folder = scratch / f"base-framed-{world.name}-{seed}-{sha_of([asdict(replace(shape, room=0)), STAGES, list(world.pseudo), threads])}"
    if (folder / "trained.json").exists():
        return folder
    stages = [scratch / f"{folder.name}-stage-{n}" for n in range(len(STAGES))]
    words = [*words_of(world), *frame.words()]
    new_causal(stages[0], words, layers=shape.layers, width=shape.width, positions=shape.positions, seed=seed)
    last, seconds = len(STAGES) - 1, 0.0
    for n, (facts, mix, share) in enumerate(STAGES):
        after = folder if n == last else stages[n + 1]
        if n < last and (after / DONE).exists():  # it was broken off behind this stage
            seconds = float((after / DONE).read_text())
            continue
        rows = frame.episodes(world, shape.episodes // len(STAGES), facts, mix, Random(f"framed/{seed}/{n}"))
        schedule, average = ("linear", 0.3) if n == last else ("constant_with_warmup", 0.0)
        training = Training(round(share * shape.steps), shape.tokens, shape.lr, schedule, average, threads)
        found = fit(stages[n], rows, training, seed, after=MARK, only=partial(frame.learnt, stops=n == last))
        seconds += found.seconds
        found.save(after)
        (after / DONE).write_text(str(seconds))
    told = {"shape": asdict(shape), "seconds": seconds, "loss": found.loss, "parameters": found.parameters, "texts": shape.episodes}
    (folder / "trained.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for stage in stages:
        shutil.rmtree(stage, ignore_errors=True)
    return folder
