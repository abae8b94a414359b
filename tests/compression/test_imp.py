"""Iterative pruning: what each round does, and that a kill changes nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.compression import Trainer, imp
from convlens.compression.prune import share
from convlens.errors import ArgumentError, Cancelled, CheckpointError, ModelError
from tests.untouched import left_untouched


def net(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4)
    )


def data(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 1, 8, 8, generator=generator)
    return x, (x.mean((1, 2, 3)) * 40).long().clamp(-2, 1) + 2


def hard_sgd(parameters):
    """What moves pruned weights if anything does."""
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.1)


def trainer(**changes: Any) -> Trainer:
    given: dict[str, Any] = {"data": data(), "epochs": 2, "optimizer": hard_sgd, "batch_size": 16}
    given.update(changes)
    return Trainer(**given)


def mask_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([b.flatten() for n, b in model.named_buffers() if n.endswith("weight_mask")])


def bits_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = bits_of(one), bits_of(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_each_round_prunes_its_share_and_nothing_comes_back():
    model = net()
    with left_untouched(model):
        rounds = list(imp(model, trainer(), 4, 0.3, evaluate=data()))
    total = 6 * 9 + 6 * 36 * 4
    alive = total
    before = torch.ones(total)
    for number, one in enumerate(rounds):
        if number:
            alive -= share(0.3, alive)
        assert (one.number, one.alive, one.total) == (number, alive, total)
        assert one.sparsity == pytest.approx(1 - alive / total)
        assert one.accuracy is not None
        assert len(one.losses) == 2
        mask = mask_of(one.model)
        assert int(mask.sum()) == alive
        assert (before >= mask).all()
        for key in ("0", "4"):
            layer = one.model.get_submodule(key)
            gone = layer.get_buffer("weight_mask") == 0
            assert (cl.find_layers(one.model)[key].weight()[gone] == 0).all()
            assert (layer.get_parameter("weight_orig")[gone] == 0).all()
            assert one.layers[key] == pytest.approx(float(gone.double().mean()))
        before = mask
    assert prune.is_pruned(rounds[-1].model)
    assert (rounds[-1].accuracy or 0) > 0.5  # it learns all the same


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from(["global", "layer"]))
def test_tiny_layers_and_ties(width, amount, scope):
    """A layer whose share is less than one weight is left alone; equal weights go one by one."""
    model: Any = nn.Sequential(nn.Linear(1, width, bias=False), nn.Linear(width, 2, bias=False))
    for layer in model:
        nn.init.constant_(layer.weight, 0.5)
    pruning = imp(model, lambda model: None, 3, amount, scope=scope)
    sizes = [width, 2 * width]
    for number in range(4):
        gone = [share(amount, n) for n in ([sum(sizes)] if scope == "global" else sizes)]
        if number and not any(gone):
            with pytest.raises(ArgumentError, match="Nothing is left to prune"):
                next(iter(pruning))
            return
        one = next(iter(pruning))
        assert one.alive == sum(sizes) - (sum(gone) if number else 0)
        sizes = [int(m.get_buffer("weight_mask").sum()) for m in one.model.children()]


def test_learning_rate_rewinding_restarts_the_schedule():
    rates: list[float] = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            if any(p.grad is not None for group in self.param_groups for p in group["params"]):
                rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    def run(**changes: Any) -> list[float]:
        rates.clear()
        how = trainer(
            epochs=4,
            optimizer=lambda p: Watched(p, lr=1.0),
            schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5),
            batch_size=64,
        )
        list(imp(net(), how, 1, 0.2, **changes))
        return rates[:]

    once = [1, 0.5, 0.25, 0.125]
    assert run(rewind="lr") == once + once
    assert run(rewind="lr", rewind_to=2) == once + once[2:]
    assert run(rewind="weights", rewind_to=1) == once + once[1:]
    assert run(rewind=None) == once + [0.125] * 4


def test_weight_rewinding_goes_back_to_the_first_weights():
    model = net()
    starts: list[dict[str, torch.Tensor]] = []

    def train(model, number):
        starts.append(bits_of(model))
        F.cross_entropy(model(data()[0]), data()[1]).backward()
        hard_sgd(model.parameters()).step()

    last = list(imp(model, train, 2, 0.5, "weights"))[-1]
    first = model.state_dict()
    for number, start in enumerate(starts):
        for key in ("0", "4"):
            mask = start[f"{key}.weight_mask"]
            assert torch.equal(start[f"{key}.weight_orig"], first[f"{key}.weight"] * mask)
        assert torch.equal(start["1.running_mean"], first["1.running_mean"])
        assert (mask_of(last.model).sum() < start["4.weight_mask"].numel()) or number == 0
    kept = list(imp(model, train, 2, 0.5, "lr"))
    assert not same(kept[-1].model, last.model)


def test_late_rewinding_goes_back_to_an_epoch():
    seen: list[torch.Tensor] = []

    class Spy(Trainer):
        def __call__(self, model, *, start=0, constant=False, after=None):
            if start:
                seen.append(model.get_parameter("4.bias").detach().clone())
                return super().__call__(model, start=start, constant=constant, after=after)

            def both(epoch, loss):
                if epoch == 1:
                    seen.append(model.get_parameter("4.bias").detach().clone())
                if after is not None:
                    after(epoch, loss)

            return super().__call__(model, start=start, constant=constant, after=both)

    spy = Spy(data(), epochs=3, optimizer=hard_sgd, batch_size=16)
    list(imp(net(), spy, 2, 0.3, "weights", rewind_to=1))
    assert len(seen) == 3
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_the_same_seed_gives_the_same_bits_whatever_came_before():
    one = list(imp(net(), trainer(), 2, 0.3, seed=3))[-1]
    torch.rand(7)
    other = list(imp(net(), trainer(), 2, 0.3, seed=3))[-1]
    third = list(imp(net(), trainer(), 2, 0.3, seed=4))[-1]
    assert same(one.model, other.model)
    assert not same(one.model, third.model)


def test_your_random_numbers_are_left():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    model = net()
    torch.manual_seed(5)
    list(imp(model, trainer(), 1, 0.3))
    assert torch.equal(torch.rand(1), wanted)


LOADER = DataLoader(
    TensorDataset(*data()), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(9)
)


@pytest.mark.parametrize("rewind", ["lr", "weights", None])
def test_stopped_and_resumed_gives_the_same_bits(rewind, tmp_path):
    how = trainer(data=LOADER)
    whole = list(imp(net(), how, 3, 0.3, rewind, evaluate=data(), seed=1))
    for stop in (900, 1500, 2600):  # in the middle of rounds 0, 1 and 2
        folder = tmp_path / str(stop)
        given: dict[str, Any] = {"evaluate": data(), "seed": 1, "checkpoint": folder}
        half = imp(net(), how, 3, 0.3, rewind, progress=lambda done, *_, s=stop: done < s, **given)
        with pytest.raises(Cancelled):
            list(half)
        resumed = list(imp(net(), how, 3, 0.3, rewind, **given))
        assert [one.resumed for one in resumed] == [i < stop // 1000 for i in range(4)]
        assert [one.accuracy for one in resumed] == [one.accuracy for one in whole]
        assert [one.losses for one in resumed] == [one.losses for one in whole]
        assert all(same(a.model, b.model) for a, b in zip(whole, resumed, strict=True))


def test_half_a_round_is_none():
    how = trainer()
    whole = list(imp(net(), how, 2, 0.3))
    stop = [True]
    pruning = imp(net(), how, 2, 0.3, progress=lambda done, *_: not (stop[0] and done >= 1500))
    with pytest.raises(Cancelled):
        list(pruning)
    stop[0] = False
    rest = list(pruning)
    assert [one.number for one in rest] == [1, 2]
    assert same(rest[-1].model, whole[-1].model)


SCRIPT = """
import sys, time, torch
torch.set_num_threads(1)
from tests.compression.test_imp import net, trainer, data
from convlens.compression import imp
def slow(done, total, label):
    print(done, flush=True)
    time.sleep(float(sys.argv[2]))
given = dict(evaluate=data(), checkpoint=sys.argv[1], progress=slow)
for one in imp(net(), trainer(epochs=4), 4, 0.3, **given):
    print("round", one.number, one.resumed, flush=True)
"""


def run_script(folder: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_killed_in_round_three_and_resumed_gives_the_bit_identical_mask(tmp_path):
    whole = list(imp(net(), trainer(epochs=4), 4, 0.3, evaluate=data()))
    killed = run_script(tmp_path, 0.05)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.strip().isdigit() and 3300 < int(line) < 3900:  # in the middle of round 3
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait(30) == -signal.SIGKILL
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"round-00{i}.safetensors" for i in range(3)]
    again = run_script(tmp_path, 0)
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert [f"round {i} {i < 3}" in said for i in range(5)] == [True] * 5
    resumed = list(imp(net(), trainer(epochs=4), 4, 0.3, evaluate=data(), checkpoint=tmp_path))
    assert all(one.resumed for one in resumed)
    assert torch.equal(mask_of(resumed[-1].model), mask_of(whole[-1].model))
    assert same(resumed[-1].model, whole[-1].model)
    assert [one.accuracy for one in resumed] == [one.accuracy for one in whole]


def test_more_rounds_go_on_from_those_on_disk(tmp_path):
    list(imp(net(), trainer(), 1, 0.3, checkpoint=tmp_path))
    more = list(imp(net(), trainer(), 3, 0.3, checkpoint=tmp_path))
    assert [one.resumed for one in more] == [True, True, False, False]
    assert same(more[-1].model, list(imp(net(), trainer(), 3, 0.3))[-1].model)


def test_a_full_disk_leaves_the_checkpoints_whole(tmp_path):
    folder = tmp_path / "here"
    list(imp(net(), trainer(), 1, 0.3, checkpoint=folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a file may hold no more
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            list(imp(net(), trainer(), 2, 0.3, checkpoint=folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert len(list(imp(net(), trainer(), 2, 0.3, checkpoint=folder))) == 3


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def spoil_bytes(path: Path) -> None:
    path.write_bytes(b"\xff" * 64)


def spoil_pickle(path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path(f"{path}.executed").touch, ())

    torch.save({"mask": Bomb()}, path)


def spoil_foreign(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3)}, path)


def spoil_other_network(path: Path) -> None:
    path.unlink()
    torch.manual_seed(0)
    other = nn.Sequential(nn.Conv2d(1, 7, 3), nn.BatchNorm2d(7), nn.Flatten(), nn.Linear(252, 4))
    list(imp(other, lambda model: None, 0, 0.3, checkpoint=path.parent))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_cut, "damaged, or no safetensors"),
        (spoil_bytes, "damaged, or no safetensors"),
        (spoil_pickle, "damaged, or no safetensors"),
        (spoil_foreign, "no checkpoint of convlens"),
        (spoil_other_network, "another pruning|another network"),
    ],
)
def test_what_is_no_checkpoint_of_this_is_refused(spoil, said, tmp_path):
    list(imp(net(), trainer(), 0, 0.3, checkpoint=tmp_path))
    path = tmp_path / "round-000.safetensors"
    spoil(path)
    with pytest.raises(CheckpointError, match=said):
        list(imp(net(), trainer(), 1, 0.3, checkpoint=tmp_path))
    assert not Path(f"{path}.executed").exists()


def test_other_settings_are_refused(tmp_path):
    list(imp(net(), trainer(), 1, 0.3, checkpoint=tmp_path))
    with pytest.raises(CheckpointError, match=r"made with amount=0\.3, not 0\.4"):
        list(imp(net(), trainer(), 1, 0.4, checkpoint=tmp_path))
    with pytest.raises(CheckpointError, match="made with seed=0, not 1"):
        list(imp(net(), trainer(), 1, 0.3, seed=1, checkpoint=tmp_path))
    with pytest.raises(CheckpointError, match="another pruning"):
        list(imp(net(), trainer(), 1, 0.3, layers="convs", checkpoint=tmp_path))


def test_a_function_that_undoes_the_masks_is_told():
    def undo(model):
        for layer in (model[0], model[4]):
            layer.weight_mask.fill_(1)

    with pytest.raises(ModelError, match="train changed the mask of 0"):
        list(imp(net(), undo, 2, 0.3))

    def drop(model):
        prune.remove(model[0], "weight")

    with pytest.raises(ModelError, match=r"prune\.remove after the last round"):
        list(imp(net(), drop, 2, 0.3))


def test_early_stop_keeps_the_best_weights():
    x, y = data()
    wild = trainer(
        epochs=20,
        optimizer=lambda p: torch.optim.SGD(p, lr=3.0),
        schedule=lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0),
        validation=(x, y),
        patience=2,
    )
    model = net()
    losses = wild(model)
    assert len(losses) < 20
    best = F.cross_entropy(model.eval()(x), y).item()
    assert best < 3 * min(losses) + 1


def test_the_live_model_is_one_object_that_changes():
    pruning = imp(net(), trainer(), 2, 0.4)
    live = pruning.model
    seen = []
    for one in pruning:
        assert pruning.model is live
        assert one.model is not live
        seen.append(cl.measure_quality(live)["4"].exact_zeros)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert repr(pruning) == "Pruning(3 of 3 rounds done, sparsity 0.639)"


def test_structured_rounds_and_a_bar(capsys):
    last = list(imp(net(), trainer(), 2, 0.4, structured=True, progress=True))[-1]
    quality = cl.measure_quality(last.model)["0"]
    assert quality.dead_outputs == 3  # of 6: 2, then 1 of the 4 left
    said = capsys.readouterr().err
    assert "round 1, epoch 2 of 2, loss" in said
    assert "100 % round 2 done" in said


def test_functions_of_one_and_of_two_arguments():
    numbers: list[int] = []
    list(imp(net(), lambda model, number: numbers.append(number), 2, 0.3))
    list(imp(net(), lambda model: numbers.append(-1), 1, 0.3))
    list(imp(net(), lambda model: numbers.append(-2), 1, 0.3, trained=True))
    assert numbers == [0, 1, 2, -1, -1, -2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": -1}, "rounds must be a whole number from 0"),
        ({"rounds": 1.5}, "rounds must be a whole number"),
        ({"amount": 1}, "between 0 and 1"),
        ({"train": 3}, "a Trainer or a callable"),
        ({"rewind": "weigths"}, "Did you mean 'weights'"),
        ({"rewind_to": 1}, "rewind_to needs a Trainer"),
        ({"train": Trainer(data(), 2), "rewind_to": 2}, "below the 2 epochs"),
        ({"scope": "all"}, "'global' or 'layer'"),
        ({"seed": -1}, "seed must be"),
        ({"layers": "1"}, "No layer|Not to be pruned"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(changes, said):
    model = net()
    given: dict[str, Any] = {"train": lambda model: None, "rounds": 1, "amount": 0.3, **changes}
    with left_untouched(model), pytest.raises((ArgumentError, cl.UnknownLayerError), match=said):
        imp(model, **given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"patience": 2}, "patience needs validation"),
        ({"data": []}, "data is empty"),
        ({"data": [torch.zeros(2, 1, 8, 8)]}, r"batches of \(inputs, labels\)"),
        ({"data": (data()[0], data()[1][:5])}, "64 inputs and 5 labels"),
        ({"data": 3}, "data must be"),
    ],
)
def test_a_trainer_of_nothing_is_told_in_a_sentence(changes, said):
    with pytest.raises(ArgumentError, match=said):
        trainer(**changes)(net())


def test_nothing_left_to_prune_is_told_after_what_was_done():
    tiny: Any = nn.Sequential(nn.Linear(3, 1, bias=False))
    done = []
    with pytest.raises(ArgumentError, match="Nothing is left to prune"):
        done.extend(one.alive for one in imp(tiny, lambda model: None, 9, 0.5))
    assert done == [3, 2, 1]
    pruning = imp(tiny, lambda model: None, 9, 0.5)
    with pytest.raises(ArgumentError):
        list(pruning)
    assert [one.alive for one in pruning.rounds] == [3, 2, 1]


def test_time_is_spent_on_training():
    """Rounds, masks and copies cost little beside it."""
    slow = 0.02
    start = time.perf_counter()
    list(imp(net(), lambda model: time.sleep(slow), 3, 0.3))
    assert time.perf_counter() - start < 4 * slow + 2
