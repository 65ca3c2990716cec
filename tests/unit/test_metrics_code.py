"""Code that is run: what counts as right, and what a program cannot do to the machine that grades it."""

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from limbeck.metrics import code as metric
from limbeck.metrics import confine
from limbeck.metrics.confine import run_confined
from limbeck.types import Example, Kind, Prediction, Status, Task

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of processes are Unix's")
CELL = Path(confine.__file__).with_name("confined.py")
TEXT = Task(name="t", instruction="i", kind=Kind.TEXT)
BEGUN = 'def double(n: int) -> int:\n    """Twice n."""\n'
TESTS = "assert double(2) == 4\nassert double(-1) == -2"


@pytest.fixture(autouse=True)
def allowed(monkeypatch):
    monkeypatch.setenv("LIMBECK_RUN_CODE", "1")


@pytest.fixture(scope="module")
def open_doors():
    return run_confined(["pass"]).left_open


def graded(answer, gold=None, tests=None, given="Write it.", status=Status.OK):
    row = Example(id="1", input=given, output=gold, tests=tests)
    return metric.code(TEXT, row, Prediction(id="1", text=answer, status=status))


# ---- what is right -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, worth",
    [
        ("def double(n):\n    return 2 * n", 1.0),
        ("Sure:\n```python\ndef double(n):\n    return n + n\n```\nThat is all.", 1.0),
        ("def double(n):\n    return n * n", 0.0),
        ("def double(n):\n    return 2 * n +", 0.0),
        ("def triple(n):\n    return 3 * n", 0.0),
        ("", 0.0),
        ("I cannot write code.", 0.0),
        ("exit(0)", 0.0),
        ("import os\nos._exit(0)", 0.0),
        ("import sys\ndef double(n):\n    sys.exit(0)", 0.0),
        ("def double(n):\n    return double(n)", 0.0),
    ],
)
def test_an_answer_has_to_pass_the_tests_to_their_end(answer, worth):
    assert graded(answer, tests=TESTS) == worth


@pytest.mark.parametrize(
    "body", ["    return 2 * n", "return 2 * n", "m = n\n    return m + n", "def double(n: int) -> int:\n    return n + n"]
)
def test_an_answer_may_continue_a_function_that_the_input_begins(body):
    assert graded(body, tests=TESTS, given=BEGUN) == 1.0


def test_a_function_that_the_input_begins_needs_a_right_body():
    assert graded("    return n", tests=TESTS, given=BEGUN) == 0.0
    assert graded("", tests=TESTS, given=BEGUN) == 0.0


@pytest.mark.parametrize(
    "answer, gold, worth",
    [
        ("print(2 + 2)", "print(4)", 1.0),
        ("print('4  ')\nprint()", "print(4)", 1.0),
        ("print(5)", "print(4)", 0.0),
        ("print(4)\nraise ValueError", "print(4)", 0.0),
        ("import sys\nprint(4)\nsys.exit()", "print(4)", 1.0),
        ("print(4)", "x = 4", None),
        ("print(4)", "print(1 / 0)", None),
        ("print(4)", "four", None),
        ("print(4)", None, None),
    ],
)
def test_without_tests_both_have_to_print_the_same(answer, gold, worth):
    assert graded(answer, gold) == worth


def test_no_answer_is_wrong_whatever_text_it_carries():
    assert graded("print(4)", "print(4)", status=Status.MALFORMED) == 0.0


def test_nothing_runs_unless_it_was_allowed(monkeypatch):
    monkeypatch.delenv("LIMBECK_RUN_CODE")
    monkeypatch.setattr(metric, "run_confined", lambda *_: pytest.fail("it ran"))
    metric.warn_once.cache_clear()
    with pytest.warns(UserWarning, match="LIMBECK_RUN_CODE=1"):
        assert graded("print('never')", "print('never')") is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert graded("print('never')", "print('never')") is None


def test_a_program_is_run_once_however_often_it_is_graded(monkeypatch):
    ran = []
    monkeypatch.setattr(metric, "run_confined", lambda *asked: ran.append(asked) or run_confined(*asked))
    assert [graded("print(7 * 6)", "print(42)") for _ in range(3)] == [1.0] * 3
    assert len(ran) == 2


# ---- what it cannot do -------------------------------------------------------------------------------------------


def test_a_loop_without_end_is_ended():
    began = time.monotonic()
    assert run_confined(["while True: pass"], cpu_s=1, wall_s=4).ended == "limit"
    assert run_confined(["import time; time.sleep(60)"], wall_s=0.5).ended == "limit"
    assert time.monotonic() - began < 8


def test_output_and_memory_are_limited():
    loud = run_confined(["print('x' * (1 << 22))"])
    assert loud.ended == "error" and len(loud.printed) <= 1 << 20
    assert run_confined(["x = bytearray(1 << 33)"]).ended == "error"
    assert run_confined(["x = []\nwhile True: x.append(bytearray(1 << 28))"]).ended == "error"


def test_a_fork_bomb_does_not_go_off(open_doors):
    if "new processes" in open_doors:
        pytest.skip("this machine cannot close that door")
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: print('no'); break"
    assert run_confined([bomb]).printed == "no\n"
    assert run_confined(["import subprocess; subprocess.run(['true'])"]).ended == "error"
    assert run_confined(["import os; os.execv('/bin/true', ['true'])"]).ended == "error"


def test_files_elsewhere_are_neither_written_nor_read(open_doors, tmp_path):
    if "files" in open_doors:
        pytest.skip("this machine cannot close that door")
    secret = tmp_path / "secret"
    secret.write_text("key")
    for program in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"print(open({str(secret)!r}).read())",
        f"import os; os.remove({str(secret)!r})",
    ):
        found = run_confined([program])
        assert found.ended == "error" and "key" not in found.printed
    if "network" not in open_doors:  # the filter of calls is there
        assert run_confined([f"import os; os.chmod({str(secret)!r}, 0)"]).ended == "error"
        assert run_confined([f"import os; os.utime({str(secret)!r})"]).ended == "error"
    assert secret.read_text() == "key" and [f.name for f in tmp_path.iterdir()] == ["secret"]


def test_it_has_a_folder_of_its_own_that_is_gone_afterwards():
    found = run_confined(["import os\nopen('note', 'w').write('mine')\nprint(open('note').read(), os.listdir(), os.getcwd())"])
    assert found.ended == "done" and found.printed.startswith("mine ['note'] ")
    assert not os.path.exists(found.printed.split()[-1])


def test_a_folder_cannot_be_filled():
    many = "n = 0\nwhile True:\n    open(str(n), 'wb').write(b'x' * 1000000)\n    n += 1"
    assert run_confined([many]).ended == "limit"


def test_secrets_of_the_environment_do_not_reach_it(monkeypatch, open_doors):
    monkeypatch.setenv("SOME_API_KEY", "sk-not-for-you")
    assert "sk-not-for-you" not in run_confined(["import os; print(dict(os.environ))"]).printed
    if "files" not in open_doors:
        parent = run_confined(["import os; print(open(f'/proc/{os.getppid()}/environ').read())"])
        assert parent.ended == "error" and "sk-not-for-you" not in parent.printed


def test_there_is_no_network_and_nobody_else_to_signal(open_doors):
    if "network" in open_doors:
        pytest.skip("this machine cannot close that door")
    assert run_confined(["import socket; socket.socket()"]).ended == "error"
    assert run_confined(["import os; os.kill(os.getppid(), 9)"]).ended == "error"
    assert run_confined(["import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))"]).ended == "error"


def test_a_verdict_cannot_be_written_by_someone_who_does_not_know_the_password():
    forged = 'import os\nfor fd in range(3, 20):\n    try: os.write(fd, b\'["0000", "done"]\')\n    except OSError: pass\nos._exit(0)'
    assert run_confined([forged]).ended == "error"


def test_honest_programs_notice_nothing():
    program = """
import asyncio, collections, dataclasses, decimal, json, math, random, re, tempfile, threading
seen = []
thread = threading.Thread(target=seen.append, args=(1,))
thread.start(); thread.join()
asyncio.run(asyncio.sleep(0))
with open('a.txt', 'w') as file: file.write('ä')
print(seen, json.dumps({'a': math.pi}), __name__, '猫')
"""
    found = run_confined([program])
    assert found.ended == "done" and found.printed == '[1] {"a": 3.141592653589793} __main__ 猫\n'


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say what they leave open")
def test_what_is_left_open_is_said(monkeypatch):
    metric.warn_once.cache_clear()
    monkeypatch.setattr(metric, "run_confined", lambda *_: metric.Outcome("done", "1", ("network",)))
    with pytest.warns(UserWarning, match="cannot close to model code: network"):
        assert graded("print('some one')", "print('other one')") == 1.0
    metric.outcome.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no filter of calls at all")
def test_a_machine_without_the_filter_says_so_and_keeps_the_limits(tmp_path):
    """The same file, on a processor whose calls it does not know."""
    reading, writing = os.pipe()
    job = {"programs": ["import os\nopen('/nowhere', 'w')"], "tests": "", "password": "p", "folder": str(tmp_path)}
    limits = {"cpu_s": 5, "memory_mb": 1024, "file_mb": 1}
    elsewhere = f"import platform, runpy, sys; platform.machine = lambda: 'other'; sys.argv = ['x', '{writing}']; runpy.run_path({str(CELL)!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-c", elsewhere], input=json.dumps(job | limits).encode(), pass_fds=(writing,), check=True)
    os.close(writing)
    left, _, ended = os.read(reading, 1000).decode().partition("\n")
    os.close(reading)
    assert "network" in json.loads(left) and json.loads(ended) == ["p", "error"]
    assert ("new processes" in json.loads(left)) == (os.geteuid() == 0)


# ---- HumanEval ---------------------------------------------------------------------------------------------------


def humaneval(rows):
    return [
        Example(id=r["id"], input=r["input"], output=r["output"].strip(), tests=f"{r['meta']['test']}\ncheck({r['meta']['entry_point']})")
        for r in rows
    ]


def test_solutions_of_humaneval_pass_and_empty_bodies_fail(public_rows):
    for row in humaneval(public_rows("humaneval", "test"))[::16]:
        assert metric.code(TEXT, row, Prediction(id=row.id, text=row.output)) == 1.0, row.id
        assert metric.code(TEXT, row, Prediction(id=row.id, text="    pass")) == 0.0, row.id


@pytest.mark.slow
def test_all_solutions_of_humaneval_pass(public_rows):
    rows = humaneval(public_rows("humaneval", "test"))
    failed = [row.id for row in rows if metric.code(TEXT, row, Prediction(id=row.id, text=row.output)) != 1.0]
    assert failed == []
