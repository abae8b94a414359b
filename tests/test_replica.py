import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from convlens.replica import replica


def pruned():
    conv = nn.Conv2d(3, 4, 3)
    prune.l1_unstructured(conv, "weight", amount=0.5)
    conv(torch.ones(1, 3, 5, 5))
    return conv


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()),
        pruned,
        lambda: parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
        lambda: torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3)),
    ],
    ids=["plain", "pruned", "spectral_norm", "weight_norm"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_replica_gives_the_same_output_and_shares_the_parameters(make):
    model = make().eval()
    copied = replica(model)
    assert copied is not model
    x = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(copied(x), model(x), rtol=0, atol=0)
        next(model.parameters()).mul_(2)
        torch.testing.assert_close(copied(x), model(x), rtol=0, atol=0)


def test_modes_hooks_and_buffers_are_the_replicas_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    copied = replica(model)
    assert isinstance(copied, nn.Sequential)
    copied.eval()
    copied[0].register_forward_hook(lambda *_: None)
    copied[1].get_buffer("running_mean").fill_(7)
    assert model.training
    assert not model[0]._forward_hooks
    assert not model[1].get_buffer("running_mean").any()


def test_model_that_cannot_be_copied_is_used_itself():
    class Stubborn(nn.Linear):
        def __deepcopy__(self, memo):
            raise TypeError("no")

    model = nn.Sequential(Stubborn(2, 2))
    assert replica(model) is model
