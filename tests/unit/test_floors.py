"""The house: imports point down only, no circles, rooms never import each other, the front door is light."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import limbeck

SOURCE = Path(limbeck.__file__).parent

GROUND = {
    "types", "errors", "registry", "shelves", "run", "need", "log",
    "render", "render_inferences", "render_ranking", "render_reasons", "render_structure",
}  # fmt: skip
ENGINE = {"engine"}
ROOMS = {"tasks", "teachers", "sources", "curate", "augment", "bases", "contexts", "adapters", "objectives", "metrics", "exporters"}
HALLWAY = {
    "hallway",
    "planning",
    "preflight",
    "answering",
    "probing",
    "deployment",
    "explain",
    "making",
    "human",
    "indexing",
    "demonstrating",
    "derived",
    "scoring",
    "inferring",
    "knowing",
    "judging",
    "provenance",
    "reasoning",
    "repairing",
    "recall",
    "synthetic",
    "compare",
    "flops",
    "candidates",
    "estimate",
    "search",
    "showing",
    "recipes",
    "report",
    "starting",
    "stats",
    "structuring",
    "factorial",
    "tuning",
    "trials",
    "advise",
    "advise_rules",
    "supply",
    "verdict",
    "controls",
}
DOORS = {"cli", "serve", "web", "testing", "bench", "__init__"}
FLOOR = {name: level for level, names in enumerate((GROUND, ENGINE, ROOMS, HALLWAY, DOORS)) for name in names}
HEAVY = {"torch", "transformers", "peft", "accelerate", "safetensors"}
MAY_BE_HEAVY = {"engine", "adapters", "objectives", "exporters", "testing"}


def files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def part_of(file: Path) -> str:
    """limbeck/engine/load.py -> engine; limbeck/types.py -> types."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> list[tuple[str, int]]:
    """(module, line) of every import, also those inside functions and under TYPE_CHECKING."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            module = node.module or ""
            found += [(f"{module}.{alias.name}" if module == "limbeck" else module, node.lineno) for alias in node.names]
    return found


def test_every_file_stands_on_a_floor():
    assert {part_of(f) for f in files()} <= set(FLOOR), "a new part of the house has to be put on a floor"


def test_imports_point_down_and_rooms_do_not_import_each_other():
    wrong = []
    for file in files():
        mine = part_of(file)
        if mine == "__init__":
            continue  # the front door: limbeck.load, on first use
        for module, line in imports(file):
            parts = module.split(".")
            if parts[0] != "limbeck" or len(parts) < 2:
                continue
            theirs = parts[1]
            if theirs in limbeck.__all__ and mine in DOORS:
                continue
            if theirs == mine:
                continue
            same_room_floor = FLOOR[mine] == FLOOR[theirs] and mine in ROOMS
            if FLOOR[theirs] > FLOOR[mine] or same_room_floor:
                wrong.append(f"{file.relative_to(SOURCE)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_circles():
    edges: dict[str, set[str]] = {}
    for file in files():
        name = ".".join(("limbeck", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        edges[name] = {m for m, _ in imports(file) if m.startswith("limbeck.") and m != name}
    known = set(edges)
    graph = {a: {b for b in bs if b in known} for a, bs in edges.items()}
    state: dict[str, int] = {}

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert state.get(node) != 1, f"a circle: {' -> '.join([*path[path.index(node) :], node])}"
        if state.get(node) == 2:
            return
        state[node] = 1
        for other in sorted(graph[node]):
            visit(other, (*path, node))
        state[node] = 2

    for node in sorted(graph):
        if node != "limbeck":
            visit(node, ())


def test_torch_is_imported_in_the_engine_and_the_rooms_that_need_it_only():
    wrong = [
        f"{file.relative_to(SOURCE)}:{line} imports {module}"
        for file in files()
        for module, line in imports(file)
        if module.split(".")[0] in HEAVY and part_of(file) not in MAY_BE_HEAVY
    ]
    assert not wrong, "\n".join(wrong)


def test_ground_needs_only_the_standard_library_and_pydantic():
    wrong = [
        f"{file.name}:{line} imports {module}"
        for file in files()
        if part_of(file) in GROUND
        for module, line in imports(file)
        if module.split(".")[0] not in {*sys.stdlib_module_names, "pydantic", "limbeck"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"], ["find", "--help"], ["find", "data", "--help"]])
def test_the_door_is_light(arguments: list[str]):
    code = (
        "import sys\nfrom limbeck.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as done:\n    assert done.code in (0, None), done.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'openai', 'gradio', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_of_the_package_are_those_in_all():
    assert set(dir(limbeck)) == set(limbeck.__all__)
    assert limbeck.__version__


def test_recipes_are_read_without_torch():
    code = "import sys\nfrom limbeck import recipes\n[recipes.parse(t) for t in ('majority', 'head@minilm', 'lora:r8@minilm', 'prompt+few:8@teacher')]\nassert 'torch' not in sys.modules"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
