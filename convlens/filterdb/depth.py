"""How deep in its network each convolution lies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from convlens.activations import Forward, hooked, run, untouched
from convlens.tracing import Tracer

__all__ = ["depths_by_graph", "depths_by_run", "ranked"]


def ranked(depths: Mapping[str, int]) -> dict[str, int]:
    """Turn depths in a graph into ranks: 0 for the first that holds a convolution.

    Convolutions at the same depth, as on a shortcut, share a rank.

    Examples
    --------
    >>> ranked({"stem": 1, "left": 4, "shortcut": 4, "last": 9})
    {'stem': 0, 'left': 1, 'shortcut': 1, 'last': 2}
    """
    order = {depth: rank for rank, depth in enumerate(sorted(set(depths.values())))}
    return {name: order[depth] for name, depth in depths.items()}


def longest(edges: Iterable[tuple[Hashable, Sequence[Hashable]]]) -> dict[Hashable, int]:
    """Return the length of the longest way to each node, of nodes given in order with inputs."""
    found: dict[Hashable, int] = {}
    for node, inputs in edges:
        found[node] = 1 + max((found.get(one, 0) for one in inputs), default=0)
    return found


def depths_by_graph(model: nn.Module, names: Iterable[str]) -> dict[str, int] | None:
    """Return the depth of the modules called `names` by tracing; None where that cannot be done.

    A module that is called several times has the depth of its first call.
    """
    wanted = set(names)
    try:
        with untouched(model):
            graph = _Leaves(wanted).trace(model)
    except Exception:  # noqa: BLE001 - control flow by data, or anything else in user code
        return None
    depth = longest((node, node.all_input_nodes) for node in graph.nodes)
    found: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in wanted:
            found.setdefault(str(node.target), depth[node])
        elif node.op == "get_attr":  # the weight itself, for a functional call
            name = str(node.target).rpartition(".")[0]
            users = [depth[user] for user in node.users]
            if name in wanted and users:
                found.setdefault(name, min(users))
    return found if wanted <= set(found) else None


class _Leaves(Tracer):
    """Stops at the modules that are looked for, whatever is inside."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self._names or super().is_leaf_module(
            m, module_qualified_name
        )


def depths_by_run(
    model: nn.Module, modules: Mapping[str, nn.Module], inputs: Any, forward: Forward | None
) -> dict[str, int]:
    """Return the depth of modules by following tensors through one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
        Left as found.
    modules : mapping of str to torch.nn.Module
    inputs, forward
        As for :func:`convlens.find_layers`.

    Returns
    -------
    dict of str to int
        Without modules that are not called.

    Raises
    ------
    ForwardError
        If the model raises.
    """
    names = {id(module): name for name, module in modules.items()}
    found: dict[str, int] = {}
    follow = _Follow()

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        follow.inside.append(follow.deepest((args, kwargs)))

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        depth = follow.inside.pop() + 1
        found.setdefault(names[id(module)], depth)
        follow.note(output, depth)

    with untouched(model), hooked(modules.values(), before=enter, after=leave), follow:
        run(model, inputs, forward)
    return found


class _Follow(TorchDispatchMode):
    """Gives each tensor that an operation makes the depth of its deepest input, plus one."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[int] = []
        self._depths: dict[int, tuple[Tensor, int]] = {}  # the tensor too, so that its id stays

    def deepest(self, inputs: Any) -> int:
        found = 0
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, Tensor):
                found = max(found, self._depths.get(id(leaf), (leaf, 0))[1])
        return found

    def note(self, outputs: Any, depth: int) -> None:
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, Tensor):
                self._depths[id(leaf)] = (leaf, depth)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.note(output, self.deepest((args, kwargs)) + 1)
        return output
