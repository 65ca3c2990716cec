"""Arrays of token ids -> training batches. Which rows step s sees depends on the seed and s alone, so that a killed run
goes on where it stopped.

    SpanBatches    T5's span corruption (Raffel et al. 2020, section 3.1.4): 15 % of the tokens in spans of mean 3
    PairBatches    rows of the mixture for the encoder-decoder base, of like length
    WindowBatches  text, or whole rows of the mixture packed, for the decoder-only base"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from tokens import BOS, EOS, PAD, SENTINEL_0, SPECIAL

PAD_ID, EOS_ID, BOS_ID = SPECIAL.index(PAD), SPECIAL.index(EOS), SPECIAL.index(BOS)
NOISE, MEAN_SPAN = 0.15, 3.0
PROMPT_WEIGHT = 0.1  # of a mixture row's prompt in the decoder-only loss: mostly frames and dice, seen over and over
IGNORED = -100


class Rows:
    """ids uint16; row i is ids[starts[i]:ends[i]]."""

    def __init__(self, path: Path, held: bool, key: str = "ids"):
        with np.load(path) as file:
            ids, ends = file[key], file["ends" if key == "ids" else f"{key}_ends"]
            chosen = file["held"] == held
        starts = np.concatenate([[0], ends[:-1]])
        self.rows = [ids[a:b] for a, b in zip(starts[chosen], ends[chosen], strict=True)]
        self.lengths = np.array([len(row) for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)


class SpanBatches:
    """Batch s: input_ids (B, T), labels (B, To), every row of the same raw length and number of spans: no padding."""

    def __init__(self, text: Rows, rows: int, raw: int, seed: int):
        self.stream, self.rows, self.raw, self.seed = np.concatenate(text.rows), rows, raw, seed
        self.noise = round(raw * NOISE)
        self.spans = round(self.noise / MEAN_SPAN)

    def windows(self) -> int:
        return (len(self.stream) - self.raw) // self.raw

    def at(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 1, step))
        inputs, labels = [], []
        for i in range(step * self.rows, (step + 1) * self.rows):
            start = window_starts(self.seed, i // self.windows(), self.windows(), self.raw)[i % self.windows()]
            a, b = corrupt(self.stream[start : start + self.raw].astype(np.int64), self.noise, self.spans, rng)
            inputs.append(a)
            labels.append(b)
        return {"input_ids": np.stack(inputs), "labels": np.stack(labels)}


@lru_cache(maxsize=4)
def window_starts(seed: int, epoch: int, windows: int, raw: int) -> np.ndarray:
    """Shuffled starts of the windows of one epoch; every epoch cuts the text elsewhere."""
    rng = np.random.default_rng((seed, 2, epoch))
    return rng.integers(raw) + raw * rng.permutation(windows)


def corrupt(row: np.ndarray, noise: int, spans: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """kept <0> kept <1> ... </s>   and   <0> span <1> span ... </s>. The row begins with what is kept."""
    gone = lengths(noise, spans, rng)
    kept = lengths(len(row) - noise, spans, rng)
    inputs, labels, at = [], [], 0
    for i, (k, g) in enumerate(zip(kept, gone, strict=True)):
        mark = [SENTINEL_0 + i]
        inputs += [row[at : at + k], mark]
        labels += [mark, row[at + k : at + k + g]]
        at += k + g
    return np.concatenate([*inputs, [EOS_ID]]), np.concatenate([*labels, [EOS_ID]])


def lengths(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """`parts` whole numbers of at least 1 that sum to `total`, all such equally likely."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


class PairBatches:
    """Batch s: input_ids (B, T), attention_mask, labels (B, To) with IGNORED on padding; at most `budget` padded tokens."""

    def __init__(self, inputs: Rows, answers: Rows, budget: int, seed: int, longest: int = 320):
        self.inputs, self.answers, self.budget, self.seed = inputs, answers, budget, seed
        self.usable = np.flatnonzero((inputs.lengths <= longest) & (answers.lengths <= 96))

    def plan(self, epoch: int) -> list[np.ndarray]:
        if getattr(self, "_epoch", None) != epoch:
            rng = np.random.default_rng((self.seed, 3, epoch))
            order = rng.permutation(self.usable)
            found: list[list[int]] = []
            for pool in np.array_split(order, max(1, len(order) // 2000)):
                pool = pool[np.argsort(self.inputs.lengths[pool] + self.answers.lengths[pool], kind="stable")]
                batch: list[int] = []
                for row in pool.tolist():
                    if batch and (len(batch) + 1) * self.width([*batch, row]) > self.budget:
                        found.append(batch)
                        batch = []
                    batch.append(row)
                found.append(batch)
            rng.shuffle(found)
            self._epoch, self._plan = epoch, [np.array(b) for b in found]
        return self._plan

    def width(self, batch: list[int]) -> int:
        return int(self.inputs.lengths[batch[-1]] + self.answers.lengths[batch[-1]])

    def at(self, step: int) -> dict[str, np.ndarray]:
        epoch, size = 0, len(self.plan(0))
        while step >= size:  # epochs differ a little in their number of batches
            step, epoch = step - size, epoch + 1
            size = len(self.plan(epoch))
        return self.of(self.plan(epoch)[step])

    def of(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        ids = padded([self.inputs.rows[i] for i in batch], PAD_ID)
        labels = padded([self.answers.rows[i] for i in batch], IGNORED)
        return {"input_ids": ids, "attention_mask": (ids != PAD_ID).astype(np.int64), "labels": labels}


def padded(rows: list[np.ndarray], value: int) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


class WindowBatches:
    """Batch s: input_ids (B, T), weights (B, T): what predicting each token counts (0 on padding and on <s>)."""

    def __init__(self, text: Rows | None, mixture: Rows | None, taught: Rows | None, rows: int, length: int, seed: int):
        self.rows, self.length, self.seed = rows, length, seed
        if text is not None:
            edge = (np.array([BOS_ID], np.uint16), np.array([EOS_ID], np.uint16))
            self.stream = np.concatenate([part for row in text.rows for part in (edge[0], row, edge[1])])
        self.mixture, self.taught = mixture, taught

    def at(self, step: int) -> dict[str, np.ndarray]:
        return self.of_text(step) if self.mixture is None else self.of_mixture(step)

    def of_text(self, step: int) -> dict[str, np.ndarray]:
        windows = (len(self.stream) - self.length) // self.length
        wanted = range(step * self.rows, (step + 1) * self.rows)
        starts = [window_starts(self.seed, i // windows, windows, self.length)[i % windows] for i in wanted]
        ids = np.stack([self.stream[s : s + self.length] for s in starts]).astype(np.int64)
        return {"input_ids": ids, "weights": (ids != BOS_ID).astype(np.float32)}

    def of_mixture(self, step: int) -> dict[str, np.ndarray]:
        """Rows drawn by the step's own dice until the windows are full; a row that does not fit any more is left out."""
        rng = np.random.default_rng((self.seed, 4, step))
        ids = np.full((self.rows, self.length), PAD_ID, dtype=np.int64)
        weights = np.zeros((self.rows, self.length), dtype=np.float32)
        for n in range(self.rows):
            at, misses = 0, 0
            while misses < 4 and at < self.length:
                i = int(rng.integers(len(self.mixture)))
                row = self.mixture.rows[i]
                if at + len(row) > self.length:
                    misses += 1
                    continue
                ids[n, at : at + len(row)] = row
                mark = self.taught.rows[i].astype(np.float32)
                weights[n, at : at + len(row)] = np.where(row == BOS_ID, 0, np.maximum(mark, PROMPT_WEIGHT))
                at += len(row)
        return {"input_ids": ids, "weights": weights}
