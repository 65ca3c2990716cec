"""The run folder: typed reads and writes, hashes, done-markers written last, a lock. No other state.

run.json  events.jsonl  teacher.sqlite  lock  done/<step>.json
0-prompt.md  1-task.json  2-rows.jsonl  2-splits.json  2-rejected.jsonl  2-labelled.jsonl  2-rationales.jsonl  2-index/  3-recipes.json
4-students/<id>/  4-predictions/<id>.{dev,test}.jsonl  5-report.{json,md,html}  6-deploy/
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from limbeck.errors import DiskFull, LimbeckError, UsageError
from limbeck.types import canonical_json

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def room_on_disk(where: Path) -> Iterator[None]:
    """A full disk becomes DiskFull (exit 3, resumable); an unwritable folder becomes UsageError (exit 2)."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no room left on the disk of {where}", str(error), "free some room, then the same command: it resumes"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise UsageError(f"cannot write in {where}", str(error), "choose another folder with --out DIR") from error
        raise


def cache_folder() -> Path:
    """The user's, for what can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limbeck"


def write_bytes(path: Path, data: bytes) -> None:
    """All or nothing: written beside, then renamed over."""
    with room_on_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: BaseModel | Any) -> None:
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_bytes(path, (json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=isinstance(value, dict)) + "\n").encode())


def write_lines(path: Path, values: Iterable[BaseModel | Any]) -> None:
    def line(value: BaseModel | Any) -> str:
        plain = value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value
        return json.dumps(plain, ensure_ascii=False)

    write_bytes(path, "".join(line(v) + "\n" for v in values).encode())


def read_json(path: Path, model: type[Model]) -> Model:
    with reading(path):
        return model.model_validate_json(path.read_bytes())


def read_lines(path: Path, model: type[Model]) -> list[Model]:
    with reading(path), path.open(encoding="utf-8") as file:
        return [model.model_validate_json(line) for line in file if line.strip()]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """A file that is not there, or is damaged, becomes an error that names it."""
    try:
        yield
    except FileNotFoundError as missing:
        raise UsageError(f"{path} is not there", f"the folder holds {listing(path.parent)}", "limbeck run PROMPT --rows FILE") from missing
    except ValidationError as error:
        raise LimbeckError(
            f"{path} is damaged or of another version", str(error), f"remove it and run the same command again: rm {path}"
        ) from error


def listing(folder: Path) -> str:
    return ", ".join(sorted(p.name for p in folder.iterdir())[:12]) if folder.is_dir() else "nothing (there is no such folder)"


def sha_of_file(path: Path) -> str:
    """Full sha256, hex, of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class RunFolder:
    """One run on disk. Paths as attributes, one marker per step."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.prompt = self.path / "0-prompt.md"
        self.task = self.path / "1-task.json"
        self.rows = self.path / "2-rows.jsonl"
        self.splits = self.path / "2-splits.json"
        self.rejected = self.path / "2-rejected.jsonl"
        self.recipes = self.path / "3-recipes.json"
        self.students = self.path / "4-students"
        self.predictions = self.path / "4-predictions"
        self.report = self.path / "5-report.json"
        self.report_md = self.path / "5-report.md"
        self.report_html = self.path / "5-report.html"
        self.deploy = self.path / "6-deploy"
        self.settings = self.path / "run.json"
        self.events = self.path / "events.jsonl"
        self.store = self.path / "teacher.sqlite"

    def create(self) -> RunFolder:
        with room_on_disk(self.path):
            (self.path / "done").mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.write_text("")
            probe.unlink()
        return self

    def must_exist(self, *, rows_are_enough: bool = False) -> RunFolder:
        """rows_are_enough: a folder in which `limbeck rows` has been will do."""
        if not self.settings.is_file() and not (rows_are_enough and (self.path / "2-made.jsonl").is_file()):
            raise UsageError(f"{self.path} is no run folder", f"it holds {listing(self.path)}", "limbeck run PROMPT --rows FILE --out DIR")
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time, by the kernel's file lock: a killed process leaves none behind."""
        import fcntl

        with room_on_disk(self.path), (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as busy:
                if busy.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                file.seek(0)
                raise UsageError(
                    f"another process is at work in {self.path}",
                    f"it is {file.read().strip() or 'unknown'}",
                    "wait for it, stop it, or choose another folder with --out DIR",
                ) from busy
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            file.flush()
            yield

    # ---- done-markers --------------------------------------------------------------------------------------

    def marker(self, step: str) -> Path:
        return self.path / "done" / f"{step}.json"

    def is_done(self, step: str, inputs: dict[str, Any]) -> bool:
        """The step was finished with these inputs, and what it wrote is still there."""
        try:
            mark = json.loads(self.marker(step).read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return mark.get("inputs") == canonical_json(inputs) and all((self.path / name).exists() for name in mark.get("outputs", []))

    def was_done_otherwise(self, step: str, inputs: dict[str, Any]) -> list[str]:
        """Names of the inputs that changed since the step was last finished; [] if it never was."""
        try:
            before = json.loads(json.loads(self.marker(step).read_bytes())["inputs"])
        except (FileNotFoundError, ValueError, KeyError):
            return []
        now = json.loads(canonical_json(inputs))
        return sorted(k for k in {*before, *now} if before.get(k) != now.get(k))

    def mark_done(self, step: str, inputs: dict[str, Any], outputs: Iterable[Path], **facts: Any) -> None:
        names = [str(p.relative_to(self.path)) for p in outputs]
        write_json(self.marker(step), {"inputs": canonical_json(inputs), "outputs": names, **facts})

    def facts(self, step: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self.marker(step).read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def forget(self, step: str) -> None:
        self.marker(step).unlink(missing_ok=True)

    def clear(self, path: Path) -> None:
        """Remove a derived folder or file of this run."""
        assert self.path in path.parents
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
