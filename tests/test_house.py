"""Imports go down only, rooms stay small, a name has one path, and what is imported is declared."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections import defaultdict
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

ROOMS = {
    "gee_pipeline": (
        "gee_pipeline.incoming",
        "gee_pipeline",
        "gee_pipeline.vectors",
        "gee_pipeline.calendar",
        "gee_pipeline.legends",
        "gee_pipeline.features",
        "gee_pipeline.stac",
        "gee_pipeline.stac.composites",
        "gee_pipeline.earthengine",
        "gee_pipeline.earthengine.client",
        "gee_pipeline.earthengine.tasks",
        "gee_pipeline.earthengine.composites",
        "gee_pipeline.earthengine.prediction",
        "gee_pipeline.earthengine.forest",
        "gee_pipeline.earthengine.network",
        "gee_pipeline.earthengine.selfcheck",
    ),
    "inference": (
        "inference",
        "inference.drawing",
        "inference.models.checkpoints",
        "inference.models.networks",
        "inference.models.forms",
        "inference.models.told",
        "inference.models",
        "inference.record",
        "inference.run",
        "inference.product",
        "inference.batch",
        "inference.deployment",
        "inference.scripts",
        "inference.workflow",
        "inference.advice",
        "inference.verification",
    ),
    "training": (
        "training",
        "training.downloads",
        "training.cropglobe",
        "training.pretrained",
        "training.samples",
        "training.sample_report",
        "training.sampling.squares",
        "training.sampling.reference",
        "training.sampling.series",
        "training.sampling",
        "training.scores",
        "training.fit",
        "training.shipped",
        "training.distillation",
        "training.adaptation",
        "training.tuning",
        "training.models",
        "training.forest",
        "training.pseudo_labels",
        "training.transfer",
        "training.foundation",
        "training.explain",
    ),
    "assessment": (
        "assessment",
        "assessment.estimation",
        "assessment.planning",
        "assessment.sample",
        "assessment.labels",
        "assessment.report",
        "assessment.sheet",
        "assessment.fields",
        "assessment.smoothing",
        "assessment.document",
        "assessment.publication",
        "assessment.evaluation",
    ),
    "cropmap": ("cropmap",),
    "cli": (
        "cli",
        "cli.options",
        "cli.output",
        "cli.commands",
        "cli.commands.assess",
        "cli.commands.maps",
        "cli.commands.models",
        "cli.commands.forest",
    ),
}
"""The packages and, in each, its rooms from the bottom up: a room may import from those before it."""

FLOORS = tuple(room for rooms in ROOMS.values() for room in rooms)

MOST_MODULES = 16


@cache
def sources() -> dict[str, Path]:
    """Every module of the packages, by its name."""
    paths = [path for package in ROOMS for path in sorted((ROOT / package).rglob("*.py"))]
    return {name_of(path): path for path in paths}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The folder of a module; a package is its own."""
    is_package = sources()[module].name == "__init__.py"
    return module if is_package else module.rpartition(".")[0]


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


@cache
def imports_of(module: str) -> tuple[tuple[int, str], ...]:
    """Line and name of everything that a module imports, also inside functions and for annotations only."""
    found = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(node.lineno, name if name in sources() else str(node.module)) for name in full]
    return tuple(found)


def test_every_folder_with_modules_is_declared_as_a_room() -> None:
    assert {room_of(module) for module in sources()} == set(FLOORS)


def test_imports_go_down_only() -> None:
    upward = [
        f"{sources()[module].relative_to(ROOT)}:{line} imports {name}"
        for module in sources()
        for line, name in imports_of(module)
        if name in sources() and FLOORS.index(room_of(name)) > FLOORS.index(room_of(module))
    ]
    assert upward == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """Without the declared order: rooms are taken away one by one, each when it needs none that is left."""
    needs: dict[str, set[str]] = defaultdict(set)
    for module in sources():
        here = room_of(module)
        needs[here] |= {room_of(n) for _, n in imports_of(module) if n in sources()} - {here}
    left = set(FLOORS)
    while free := {room for room in left if not needs[room] & left}:
        left -= free
    assert left == set()


def test_no_folder_holds_more_modules_than_one_can_overlook() -> None:
    folders: dict[Path, int] = defaultdict(int)
    for path in sources().values():
        folders[path.parent.relative_to(ROOT)] += path.name != "__init__.py"
    assert {str(folder): count for folder, count in folders.items() if count > MOST_MODULES} == {}


@cache
def defined_in(module: str) -> set[str]:
    """The names that a module makes itself at its top level."""
    names: set[str] = set()
    for node in tree_of(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


def test_a_name_has_one_path() -> None:
    """Whoever needs a name imports it from where it is defined: packages, tests, benchmarks and examples."""
    folders = (*ROOMS, "tests", "benchmarks", "examples")
    faults = []
    for path in [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]:
        if path.parent.name == "written_by_0_1_0":  # it runs with that version only
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            at = f"{path.relative_to(ROOT)}:{node.lineno}"
            faults += [f"{at} passes {a.name} on" for a in node.names if a.asname == a.name]
            if node.module in sources():
                names = {alias.name for alias in node.names} - defined_in(node.module)
                foreign = [name for name in sorted(names) if f"{node.module}.{name}" not in sources()]
                faults += [f"{at} takes {name} from {node.module}, which only imports it" for name in foreign]
    assert faults == []


def test_what_is_said_to_be_public_is_defined_there() -> None:
    faults = []
    for module in sources():
        for node in tree_of(module).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__":
                names = set(ast.literal_eval(node.value)) - defined_in(module)
                faults += [f"{module}.__all__ names {name}" for name in sorted(names)]
    assert faults == []


def test_a_package_imports_nothing_for_others() -> None:
    """What an `__init__` imports it uses itself; so importing a package stays cheap."""
    faults = []
    for module, path in sources().items():
        if path.name != "__init__.py":
            continue
        used = {n.id for n in ast.walk(tree_of(module)) if isinstance(n, ast.Name)} | {"annotations"}
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {(alias.asname or alias.name).split(".")[0] for alias in node.names}
                faults += [f"{module} imports {name}" for name in sorted(names - used)]
    assert faults == []


def plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@cache
def declared() -> set[str]:
    """Distributions that setup.cfg names, whether always installed or as an extra."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line for text in lists for line in text.split("\n") if line.strip()]
    return {plain(re.split(r"[<>=!~;\[ ]", line.strip())[0]) for line in lines}


def test_every_imported_distribution_is_declared() -> None:
    owners = {name: {plain(d) for d in found} for name, found in metadata.packages_distributions().items()}
    missing: dict[str, str] = {}
    for module in sources():
        for line, name in imports_of(module):
            top = name.split(".")[0]
            if top in ROOMS or top in sys.stdlib_module_names:
                continue
            if not owners.get(top, {plain(top)}) & declared():
                missing[top] = f"{sources()[module].relative_to(ROOT)}:{line}"
    assert missing == {}


def test_every_declared_distribution_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {plain(line.split("==")[0]) for line in lines if "==" in line}
    assert declared() - pinned == set()


def test_the_order_of_packages_is_the_order_of_their_rooms() -> None:
    for lower, upper in pairwise(ROOMS):
        assert FLOORS.index(ROOMS[lower][-1]) < FLOORS.index(ROOMS[upper][0])
