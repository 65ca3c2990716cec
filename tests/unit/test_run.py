"""The run folder: all or nothing on disk, markers last, one process at a time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from limbeck.errors import LimbeckError, UsageError
from limbeck.run import RunFolder, read_json, read_lines, write_bytes, write_json, write_lines
from limbeck.types import Example, Recipe, Task, Value


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run").create()


def test_what_is_written_is_read_back(folder):
    task = Task(name="t", instruction="i", kind="label", labels=("a", "b"))
    rows = [Example(id="1", input="x", output="a", choices=("a", "b")), Example(id="2", input="y")]
    write_json(folder.task, task)
    write_lines(folder.rows, rows)
    assert read_json(folder.task, Task) == task
    assert read_lines(folder.rows, Example) == rows


def test_a_step_is_done_only_with_the_same_inputs_and_its_outputs_in_place(folder):
    write_json(folder.task, {})
    folder.mark_done("task", {"prompt": "abc", "seed": 0}, [folder.task])
    assert folder.is_done("task", {"seed": 0, "prompt": "abc"})
    assert not folder.is_done("task", {"prompt": "other", "seed": 0})
    assert folder.was_done_otherwise("task", {"prompt": "other", "seed": 0}) == ["prompt"]
    folder.task.unlink()
    assert not folder.is_done("task", {"prompt": "abc", "seed": 0})


def test_a_half_written_marker_counts_as_not_done(folder):
    folder.marker("task").write_text('{"inputs": "{')
    assert not folder.is_done("task", {})
    assert folder.was_done_otherwise("task", {"a": 1}) == []


def test_a_failed_write_leaves_the_old_file(folder, monkeypatch):
    write_bytes(folder.task, b"old")
    monkeypatch.setattr("limbeck.run.os.replace", lambda *a: (_ for _ in ()).throw(OSError(5, "input/output error")))
    with pytest.raises(OSError):
        write_bytes(folder.task, b"new")
    assert folder.task.read_bytes() == b"old"
    assert [p.name for p in folder.path.iterdir() if p.name.startswith(".1-task")] == []


def test_a_damaged_file_is_named(folder):
    folder.task.write_text("{}")
    with pytest.raises(LimbeckError, match=r"1-task\.json"):
        read_json(folder.task, Task)


def test_the_lock_is_held_against_another_process_and_freed_by_its_death(folder):
    hold = "import sys, time\nfrom limbeck.run import RunFolder\nwith RunFolder(sys.argv[1]).locked():\n    print('held', flush=True)\n    time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", hold, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match="another process"), folder.locked():
        pass
    process.kill()
    process.wait()
    with folder.locked():
        pass


def test_a_recipe_s_id_depends_on_its_values():
    one = Recipe(adapter="full", base="minilm", values=(Value(name="lr", value=1e-4, why="a"),))
    same = one.model_copy(update={"values": (Value(name="lr", value=1e-4, why="another reason"),)})
    other = one.model_copy(update={"values": (Value(name="lr", value=2e-4, why="a"),)})
    assert one.id == same.id != other.id
    assert "/" not in Recipe(adapter="full", base="org/name").id


def test_events_are_one_json_object_a_line(folder):
    from limbeck.log import Log

    log = Log(folder.events)
    log.event("step", step="task")
    log.warn("careful\nplease")
    assert [json.loads(line)["event"] for line in folder.events.read_text().splitlines()] == ["step", "warning"]
