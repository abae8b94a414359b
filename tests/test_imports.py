"""What the package loads, and which module may know which."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import requires, version
from pathlib import Path
from types import ModuleType

import pytest
import torch

import convlens

PACKAGE = Path(convlens.__file__).parent
PUBLIC = [name for name in convlens.__all__ if not name.startswith("__")]

# From the bottom up: a module imports its own level and those below, nothing above.
LEVELS = (
    {"errors"},
    # Model access: what stands in a model, and what its weights really are.
    {"activations", "forms", "graphs", "inputs", "layer", "layers", "nncf_hooks"}
    | {"replica", "tensors", "tracing", "tree", "untouched", "weights"},
    {"choices", "parameters", "plotting", "threads"},
    # Analyses, each of them and what it is made of; the demo is made with none of them.
    {"compression", "demo", "distribution", "features", "filterdb", "filters", "history"}
    | {
        "compiled",
        "figures",
        "fused",
        "measures",
        "orthogonality",
        "quality",
        "randomness",
        "saliency",
        "scores",
        "similarity",
    }
    | {"verdict"},
    {"widget"},
    {"convlens"},
)
JUPYTER = {"IPython", "anywidget", "ipykernel", "ipywidgets", "traitlets"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    named = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = file
    return named


def level(module: str) -> int:
    """Where a module stands in LEVELS."""
    part = module.removeprefix("convlens.").split(".")[0]
    found = [place for place, parts in enumerate(LEVELS) if part in parts]
    assert found, f"{module} has no place in LEVELS: say which modules may import it"
    return found[0]


class Imports(ast.NodeVisitor):
    """The names that a module imports when it runs, wherever in it the import stands."""

    def __init__(self, file: Path, *, inside_functions: bool) -> None:
        self.names: set[str] = set()
        self._inside_functions = inside_functions
        self.visit(ast.parse(file.read_text(encoding="utf-8")))

    def visit_If(self, node: ast.If) -> None:
        """Pass by what only the type checker reads."""
        if ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Enter a function only where asked to."""
        if self._inside_functions:
            self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's own spelling

    def visit_Import(self, node: ast.Import) -> None:
        """Take `import a.b`."""
        self.names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take `from a import b`, where b may itself be a module."""
        assert node.module is not None, "a relative import"
        self.names.update(f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(file: Path, *, inside_functions: bool) -> set[str]:
    """The modules of this package that `file` imports."""
    named = modules()
    names = Imports(file, inside_functions=inside_functions).names
    ours = {name for name in names if name.split(".")[0] == "convlens"}
    return {name if name in named else name.rpartition(".")[0] for name in ours}


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_one_way(module: str) -> None:
    imported = own_imports(modules()[module], inside_functions=True)
    above = sorted(name for name in imported if level(name) > level(module))
    assert not above, f"{module} imports {above}, which build on it"


def test_no_import_cycles() -> None:
    graph = {
        name: own_imports(file, inside_functions=False) - {name} for name, file in modules().items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("module", sorted(modules()))
def test_only_the_widget_knows_jupyter(module: str) -> None:
    names = Imports(modules()[module], inside_functions=True).names
    jupyter = {name.split(".")[0] for name in names} & JUPYTER
    assert not jupyter or level(module) == level("widget")


def run(code: str) -> str:
    """Run `code` in a new interpreter and give what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_other() -> None:
    loaded = run(
        "import sys; before = set(sys.modules); import convlens; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    assert set(loaded.split()) - set(sys.stdlib_module_names) == {"convlens"}


def test_importing_a_lens_loads_nothing_that_waits_for_its_use() -> None:
    loaded = run("import sys; from convlens import Lens; print(*sys.modules)")
    names = {name.split(".")[0] for name in loaded.split()}
    assert {"torch", "anywidget"} <= names
    assert not names & {"captum", "matplotlib", "pandas", "scipy", "seaborn", "sklearn"}


def test_measuring_needs_no_jupyter() -> None:
    said = run(
        "import sys\n"
        f"for name in {sorted(JUPYTER)}: sys.modules[name] = None\n"
        "import convlens as cl, torch\n"
        "print(len(cl.measure_quality(torch.nn.Conv2d(3, 8, 3))))"
    )
    assert said == "1"


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_documented(name: str) -> None:
    thing = getattr(convlens, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()[0]) > 10
    if inspect.isfunction(thing):
        sections = re.findall(r"^(\w+)\n-+$", text, flags=re.MULTILINE)
        assert {"Parameters", "Returns", "Raises", "Examples"} <= set(sections)
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^(.*, )?\*{{0,2}}{parameter}(, .*)? : ", text, re.MULTILINE), (
                parameter
            )


def test_public_names_agree_everywhere() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("convlens")
        for alias in node.names
    }
    assert sorted(PUBLIC) == sorted(typed - {"nearest"})
    assert set(PUBLIC) <= set(dir(convlens))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=r"convlens has no 'measure_qualty'.*measure_quality"):
        _ = convlens.measure_qualty
    with pytest.raises(ImportError):
        exec("from convlens import Lense")


def test_a_public_module_stays_a_module() -> None:
    assert isinstance(convlens.demo, ModuleType)
    assert convlens.demo is importlib.import_module("convlens.demo")


def test_version_is_that_of_the_installed_package() -> None:
    assert convlens.__version__ == version("convlens")


def extras() -> set[str]:
    """Packages that a user installs by an extra, ``pip install 'convlens[torchao]'``."""
    lines = [line for line in requires("convlens") or [] if "extra ==" in line]
    return {re.split(r"[^\w-]", line)[0] for line in lines if "dev" not in line.split(";")[1]}


def test_dependencies_are_those_that_are_imported() -> None:
    required = [line for line in requires("convlens") or [] if "extra ==" not in line]
    declared = {re.split(r"[^\w-]", line)[0] for line in required}
    script = PACKAGE / "demo" / "make.py"  # a developer's, never imported
    imported = {
        name.split(".")[0]
        for file in modules().values()
        if file != script
        for name in Imports(file, inside_functions=True).names
    }
    packages = imported - set(sys.stdlib_module_names) - {"convlens", "__future__"}
    packages = packages - {"PIL"} | ({"pillow"} if "PIL" in packages else set())
    packages -= extras()  # each imported only when its backend is asked for
    # ipywidgets comes with anywidget, but the Lens needs a newer one than anywidget asks for.
    assert packages | {"ipywidgets"} == declared


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run_as_they_stand(name: str) -> None:
    thing = getattr(convlens, name)
    known = {public: getattr(convlens, public) for public in PUBLIC}
    examples = doctest.DocTestFinder(exclude_empty=True).find(
        thing, name, globs={**known, "convlens": convlens, "torch": torch}
    )
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for example in examples:
        runner.run(example, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)
