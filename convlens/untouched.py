"""Leave a model exactly as it was found, whatever ran on it."""

from __future__ import annotations

import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convlens.tensors import has_own_dispatch, is_lazy

__all__ = ["may_draw", "rng_keeper", "spared_alike", "untouched"]

# Bytes of all values, up to which copying them takes less than watching a few dozen operations.
_SMALL = 4_000_000
_CONTAINERS = (dict, list, set, deque)
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@contextmanager
def untouched(model: nn.Module, *, runs: bool = False) -> Generator[None]:
    """Put everything back on the way out: after success, an error, Ctrl-C and cancel alike.

    Kept are hooks (global ones too), training flags, attributes of every module with the plain
    containers in them, parameters, buffers and gradients (identity, values, ``_version``),
    ``requires_grad``, the random generators of Python, NumPy, the CPU and the accelerator, and the
    thread's grad mode. The values of a small model are copied beforehand; those of a large one only
    when somebody is about to write to them, so that this costs little memory. Modules are not put
    into eval mode; what runs inside may do so.

    Not kept: state that modules hold in objects of other classes, or outside the model.
    While it lasts no other thread may train the same model: its work would be undone. A generator
    that a whole run of the model was seen not to draw from is let be in threads beside the main
    one, where a training loop may draw from it meanwhile.

    Parameters
    ----------
    model : torch.nn.Module
    runs : bool, default False
        The whole model is run, once at least, and nothing else draws.

    Examples
    --------
    >>> with untouched(model), torch.no_grad():
    ...     model.eval()(images)
    """
    modules = list(model.modules())
    with ExitStack() as after:  # runs every step of putting back, even where one fails
        after.callback(torch.set_default_dtype, torch.get_default_dtype())
        after.callback(torch.set_grad_enabled, torch.is_grad_enabled())
        after.push(_keep_generators(model, runs=runs))
        tensors = {id(tensor): tensor for tensor in _own_tensors(modules)}
        containers = _Containers([*(vars(module) for module in modules), *_global_hooks()])
        tensors.update((id(tensor), tensor) for tensor in containers.tensors)
        kept = [_Kept(tensor) for tensor in tensors.values() if not is_lazy(tensor)]
        flags = [(module, getattr(module, "training", None)) for module in modules]
        after.callback(_restore_all, kept)
        after.callback(_restore_flags, flags)
        after.callback(containers.restore)
        uncompiled = _uncompiled()
        values = [one for one in kept if one.storage is not None]
        if uncompiled is not None and sum(one.data.nbytes for one in values) < _SMALL:
            for one in values:
                one.save()
            after.enter_context(uncompiled)
        else:
            after.enter_context(_CopyOnWrite(values))
        yield


def _uncompiled() -> AbstractContextManager[object] | None:
    """Make compiled submodules run uncompiled; None where this torch has only a mode for that.

    A look at a model should not wait for a compiler.
    """
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        return nullcontext()
    stance: Any = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    return None if stance is None else stance("force_eager")


class _Kept:
    """One tensor: who it was, where its numbers were, and a copy of them once in danger."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.requires_grad = tensor.requires_grad
        self.version = None if tensor.is_inference() else tensor._version
        self.grad = tensor.grad if tensor.is_leaf else None
        # `data` is a second handle on the same memory: it outlives `weight.data = ...`.
        self.data = tensor.data
        self.storage = storage_of(tensor)
        self.shape = (tensor.shape, tensor.stride()) if self.storage else None
        self.copy: Tensor | None = None

    def save(self) -> None:
        if self.copy is None:
            self.copy = self.data.clone()

    def restore(self) -> None:
        tensor = self.tensor
        if self.storage is not None:
            shape = (tensor.shape, tensor.stride())
            if storage_of(tensor) != self.storage or shape != self.shape:
                tensor.data = self.data
            if self.copy is not None and not _same_bits(self.data, self.copy):
                self.data.copy_(self.copy)
        if self.version is not None and tensor._version != self.version:
            _set_version(tensor, self.version)
        if not tensor.is_leaf:
            return
        if tensor.requires_grad != self.requires_grad:
            tensor.requires_grad_(self.requires_grad)
        if tensor.grad is not self.grad:
            tensor.grad = self.grad


class _CopyOnWrite(TorchDispatchMode):
    """Copies a kept tensor just before an operation of this thread writes into its memory.

    Being a dispatch mode it also makes compiled submodules run uncompiled, as is wanted.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled inside a mode anyway, and to say so once more to each operation costs
        # more than the operation, and the import of the compiler before the first.
        return False

    def __init__(self, kept: Iterable[_Kept]) -> None:
        super().__init__()
        self._written: dict[Any, list[tuple[int, str]]] = {}
        self._by_storage: dict[int, list[_Kept]] = {}
        for one in kept:
            if one.storage is not None:
                self._by_storage.setdefault(one.storage, []).append(one)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        written = self._written.get(func)
        if written is None:
            written = self._written[func] = _written_arguments(func._schema)
        for index, name in written:
            self._save(args[index] if index < len(args) else kwargs.get(name))
        return func(*args, **kwargs)

    def _save(self, value: Any) -> None:
        if isinstance(value, Tensor):
            storage = storage_of(value)
            if storage is not None:
                for one in self._by_storage.get(storage, ()):
                    one.save()
        elif isinstance(value, (list, tuple)):
            for part in cast("Iterable[Any]", value):
                self._save(part)


def _written_arguments(schema: Any) -> list[tuple[int, str]]:
    """Return position and name of the arguments that an operation writes to."""
    # Batch norm writes its running statistics and does not declare it.
    undeclared = "batch_norm" in schema.name
    return [
        (index, argument.name)
        for index, argument in enumerate(schema.arguments)
        if undeclared or (argument.alias_info is not None and argument.alias_info.is_write)
    ]


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Say whether all bits are equal: -0.0 is not 0.0, and NaN is NaN. False where in doubt."""
    if one.is_meta:
        return True
    kind = _INTEGERS.get(one.dtype.itemsize)
    if kind is None or one.is_quantized:
        return False
    return torch.equal(one.view(kind), other.view(kind))


class _Containers:
    """Dicts, lists, sets and deques, however nested in each other, with what they held."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self._held: dict[int, tuple[Any, list[Any]]] = {}
        self.tensors: list[Tensor] = []
        todo: list[Any] = [root for root in roots if isinstance(root, _CONTAINERS)]
        while todo:
            container = todo.pop()
            if id(container) in self._held:
                continue
            content = _content(container)
            self._held[id(container)] = (container, content)
            for value in _values(container, content):
                if isinstance(value, _CONTAINERS):
                    todo.append(value)
                elif isinstance(value, Tensor):
                    self.tensors.append(value)

    def restore(self) -> None:
        for container, content in self._held.values():
            if not _same(container, content):
                container.clear()
                (container.update if hasattr(container, "update") else container.extend)(content)


def _content(container: Any) -> list[Any]:
    if not container:  # most of them
        return []
    return list(container.items() if hasattr(container, "items") else container)


def _values(container: Any, content: list[Any]) -> Iterable[Any]:
    return (value for _, value in content) if hasattr(container, "items") else content


def _same(container: Any, content: list[Any]) -> bool:
    if not (container or content):
        return True
    now = _content(container)
    if len(now) != len(content):
        return False
    if isinstance(container, set):
        return {id(value) for value in now} == {id(value) for value in content}
    if hasattr(container, "items"):
        return all(a is c and b is d for (a, b), (c, d) in zip(now, content, strict=True))
    return all(one is other for one, other in zip(now, content, strict=True))


def storage_of(tensor: Tensor) -> int | None:
    """Return what identifies the memory of `tensor`; None for types that keep it elsewhere."""
    if tensor.layout is not torch.strided or has_own_dispatch(type(tensor)):
        return None
    storage: Any = tensor.untyped_storage()
    return storage._cdata


def _own_tensors(modules: Iterable[nn.Module]) -> Iterable[Tensor]:
    for module in modules:
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            yield tensor
            if not is_lazy(tensor) and tensor.is_leaf and tensor.grad is not None:
                yield tensor.grad


def _global_hooks() -> list[Any]:
    home = vars(nn.modules.module)
    return [value for name, value in home.items() if name.startswith("_global_")]


def _restore_flags(flags: list[tuple[nn.Module, bool | None]]) -> None:
    # Python modules have theirs back with their attributes; TorchScript keeps it in C++.
    for module, training in flags:
        if training is not None and module.training != training:
            module.training = training


def _restore_all(kept: list[_Kept]) -> None:
    with torch.no_grad(), ExitStack() as steps:
        for one in kept:
            steps.callback(one.restore)


def _set_version(tensor: Tensor, version: int) -> None:
    autograd: Any = vars(torch)["_C"]._autograd  # torch offers no public way
    put = getattr(autograd, "_unsafe_set_version_counter", None)
    if put is None:
        return
    try:
        put((tensor,), (version,))
    except TypeError:  # before torch 2.6
        put(tensor, version)


# Generators that a run of a model left alone, by model: see `_keep_generators`.
_spared: WeakKeyDictionary[nn.Module, frozenset[str]] = WeakKeyDictionary()
_NAMES = {"python", "torch", "cuda", "mps", "numpy"}


def rng_keeper() -> Callable[[], None]:
    """Note the state of every generator now, and return what sets it again."""
    kept = [(put, get()) for get, put in _generators().values()]

    def restore() -> None:
        for put, state in kept:
            put(state)

    return restore


def may_draw(model: nn.Module) -> bool:
    """Whether the model may draw from a global generator, as far as is known.

    Parameters
    ----------
    model : torch.nn.Module
        Of a list of models: any of them.
    """
    return not _generators().keys() <= _spared_by(model)


def spared_alike(copied: nn.Module, model: nn.Module) -> nn.Module:
    """Give a copy, of which the same is known as of the model."""
    _spared[copied] = _spared_by(model)
    return copied


def _spared_by(model: nn.Module) -> frozenset[str]:
    if type(model) is not nn.ModuleList or not len(model):
        return _spared.get(model, frozenset())
    first, *others = (_spared_by(one) for one in model)
    return first.intersection(*others)


def _keep_generators(model: nn.Module, *, runs: bool) -> Callable[..., None]:
    """Note the generators, and return what sets them again on the way out.

    A thread that runs a model beside a training loop must not set back what the loop drew
    meanwhile. Who drew cannot be told from a state that has changed; but where a run of the model
    left a generator as it was, the model does not draw from it: then, aside from the main thread,
    it is not looked at any more.
    """
    aside = threading.current_thread() is not threading.main_thread()
    known = _spared_by(model) if aside else frozenset[str]()
    kept = [(n, get, put, get()) for n, (get, put) in _generators().items() if n not in known]

    def restore(error: object, *_: object) -> None:
        left = _NAMES - _generators().keys()  # not even loaded
        for name, get, put, state in kept:
            if _same_state(get(), state):
                left.add(name)
            else:
                put(state)
        if runs and error is None:
            _spared[model] = known | left

    return restore


def _generators() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return how the state of each global generator is read and set."""
    found: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
        "python": (random.getstate, random.setstate),
        "torch": (torch.get_rng_state, torch.set_rng_state),
    }
    if torch.cuda.is_initialized():
        found["cuda"] = (torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all)
    if torch.backends.mps.is_available():
        found["mps"] = (torch.mps.get_rng_state, torch.mps.set_rng_state)
    if "numpy.random" in sys.modules:
        numpy = cast("Any", sys.modules["numpy.random"])
        found["numpy"] = (numpy.get_state, numpy.set_state)
    return found


def _same_state(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, (tuple, list)):
        return all(map(_same_state, cast("Any", one), other))
    if isinstance(one, dict):
        return _same_state([*cast("Any", one).values()], [*other.values()])
    return bool(one.tobytes() == other.tobytes() if hasattr(one, "tobytes") else one == other)
