"""The Lens and its front end, without a browser."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import convlens as cl
from convlens import Lens
from convlens.errors import (
    ArgumentError,
    ClosedLensError,
    ModelError,
    UnknownLayerError,
)
from convlens.widget.jobs import model_lock


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 4, 1)
    )


def arrays(reply):
    return {
        spec["name"]: np.frombuffer(buffer, spec["dtype"]).reshape(spec["shape"])
        for spec, buffer in zip(reply["header"]["arrays"], reply["buffers"], strict=True)
    }


class TestSelection:
    def test_starts_at_the_first_layer(self, open_lens, model):
        lens = open_lens(model)
        assert (lens.layer, lens.channel, lens.view, lens.eps) == ("0", None, "quality", 0.01)

    def test_click_in_the_page_is_readable_in_python(self, open_lens, page, model):
        lens = open_lens(model)
        page.set(layer="2", channel=15, view="filters")
        assert (lens.layer, lens.channel, lens.view) == ("2", 15, "filters")

    def test_set_from_a_cell_reaches_the_page(self, open_lens, page, model):
        lens = open_lens(model)
        lens.layer, lens.eps, lens.sort = "2", 0.05, "norm"
        assert (page.state["layer"], page.state["eps"], page.state["sort"]) == ("2", 0.05, "norm")

    @pytest.mark.parametrize(
        ("name", "value", "error", "says"),
        [
            ("layer", "conv", UnknownLayerError, "conv"),
            ("layer", 0, ArgumentError, "lens.layers lists them"),
            ("channel", 8, ArgumentError, "0 to 7, an output of 0"),
            ("channel", -1, ArgumentError, "0 to 7"),
            ("channel", 1.0, ArgumentError, "whole number"),
            ("channel", True, ArgumentError, "whole number"),
            ("view", "filter", ArgumentError, "Did you mean 'filters'"),
            ("sort", "size", ArgumentError, "position, norm, entropy, cluster"),
            ("scale", None, ArgumentError, "filter, layer, model"),
            ("entropy", "normalised", ArgumentError, "Did you mean 'normalized'"),
            ("eps", 0, ArgumentError, "between 0 and 1"),
            ("eps", 1, ArgumentError, "between 0 and 1"),
            ("eps", float("nan"), ArgumentError, "between 0 and 1"),
            ("eps", "0.1", ArgumentError, "between 0 and 1"),
            ("eps", True, ArgumentError, "between 0 and 1"),
        ],
    )
    def test_wrong_value_is_refused_and_the_old_one_stays(
        self, open_lens, page, model, name, value, error, says
    ):
        lens = open_lens(model)
        before = getattr(lens, name)
        with pytest.raises(error) as caught:
            setattr(lens, name, value)
        assert says in str(caught.value)
        assert getattr(lens, name) == before
        # the same, said to the page
        page.set(**{name: value})
        assert page.messages[-1]["status"] == "error"
        assert says in page.messages[-1]["header"]["message"]
        assert getattr(lens, name) == before
        assert page.state[name] == before

    def test_several_changes_are_undone_together(self, open_lens, page, model):
        lens = open_lens(model)
        page.set(layer="2", channel=99)
        assert (lens.layer, lens.channel) == ("0", None)
        assert (page.state["layer"], page.state["channel"]) == ("0", None)

    def test_numpy_numbers_are_taken(self, open_lens, model):
        lens = open_lens(model)
        lens.channel, lens.eps = np.int64(3), np.float32(0.5)
        assert (type(lens.channel), type(lens.eps)) == (int, float)

    def test_channel_that_the_new_layer_lacks_is_dropped(self, open_lens, model):
        lens = open_lens(model, layer="2", channel=12)
        lens.layer = "0"
        assert lens.channel is None

    def test_page_may_not_write_what_the_kernel_says(self, open_lens, page, model):
        lens = open_lens(model)
        page.set(stale=True)
        assert not lens.stale
        assert "set by the kernel only" in page.messages[-1]["header"]["message"]


class TestConstruction:
    @pytest.mark.parametrize("thing", [None, {}, "resnet50", nn.Conv2d, lambda x: x])
    def test_not_a_module(self, thing):
        with pytest.raises(ModelError):
            Lens(thing)

    def test_no_weights(self):
        with pytest.raises(ModelError):
            Lens(nn.Sequential(nn.ReLU()))

    def test_unknown_argument_names_the_nearest(self, model):
        with pytest.raises(ArgumentError, match="Did you mean 'layer'"):
            Lens(model, layers="0")

    def test_wrong_argument_leaves_nothing_behind(self, model):
        import ipywidgets

        before = len(ipywidgets.widgets.widget._instances)
        with pytest.raises(ArgumentError):
            Lens(model, eps=2)
        assert len(ipywidgets.widgets.widget._instances) == before

    def test_title(self, open_lens, model):
        assert open_lens(model)._structure["model"]["title"] == "Sequential"
        assert open_lens(model, name="Mine")._structure["model"]["title"] == "Mine"

    def test_structure_lists_every_layer_before_anything_is_measured(self, open_lens, page, model):
        open_lens(model)
        listed = page.state["_structure"]["layers"]
        assert [layer["key"] for layer in listed] == ["0", "2", "4"]
        assert json.dumps(page.state["_structure"], allow_nan=False)

    def test_repr_is_short(self, open_lens, model):
        assert repr(open_lens(model)) == "Lens(Sequential, 3 layers, layer='0')"


class TestRequests:
    def test_hello_says_whether_clicks_wait_for_a_running_cell(self, open_lens, page, model):
        open_lens(model)
        assert page.ask("hello")["header"]["concurrent"] is False
        thread = threading.Thread(target=lambda: page.send("hello", id="from a subshell"))
        thread.start()
        thread.join()
        assert page.answer("from a subshell")["header"]["concurrent"] is True

    def test_quality_is_what_the_plain_call_gives(self, open_lens, page, model):
        open_lens(model)
        reply = page.ask("quality", eps=0.05)
        rows = {row["key"]: row for row in reply["header"]["rows"]}
        expected = cl.measure_quality(model, eps=0.05)
        assert list(rows) == list(expected)
        for key, quality in expected.items():
            told = {k: v for k, v in rows[key].items() if k not in ("curve", "verdict")}
            assert told == json.loads(json.dumps(quality.to_json()))
            assert rows[key]["verdict"]["title"] == quality.verdict.title

    def test_quality_after_moving_eps_is_what_a_fresh_measurement_gives(
        self, open_lens, page, model
    ):
        open_lens(model)
        page.ask("quality", eps=0.01)
        moved = page.ask("quality", eps=0.2)["header"]["rows"]
        open_lens(model)
        assert moved == page.ask("quality", eps=0.2)["header"]["rows"]

    def test_curve_is_the_sparsity_at_every_position_of_the_slider(self, open_lens, page, model):
        open_lens(model)
        row = page.ask("quality", eps=0.01)["header"]["rows"][1]
        for eps, count in zip(page.state["_structure"]["eps_grid"], row["curve"], strict=True):
            assert count == round(cl.measure_quality(model, eps=eps)["2"].sparsity * row["n"])

    def test_summary_holds_the_last_complete_quality(self, open_lens, page, model):
        lens = open_lens(model)
        rows = page.ask("quality", eps=0.05)["header"]["rows"]
        assert page.state["_summary"]["eps"] == 0.05
        assert [r["sparsity"] for r in lens._summary["rows"]] == [r["sparsity"] for r in rows]

    def test_filters_are_the_weights(self, open_lens, page, model):
        open_lens(model)
        reply = page.ask("filters", layer="2", start=0)
        weights = model[2].weight.detach().numpy()
        np.testing.assert_array_equal(arrays(reply)["weights"], weights.reshape(16, 8, 9))
        assert reply["header"]["kernel"] == [3, 3]
        assert reply["header"]["max_abs"] == pytest.approx(float(abs(weights).max()))

    def test_a_large_layer_comes_in_halves_that_make_up_its_weights(
        self, open_lens, page, monkeypatch
    ):
        monkeypatch.setattr("convlens.widget.answers.HALVED", 100)
        conv = nn.Conv2d(4, 6, 3)
        with torch.no_grad():
            conv.weight[0, 0, 0] = torch.tensor([0.0, -torch.inf, torch.nan])
        lens = open_lens(conv)
        key = page.state["_structure"]["layers"][0]["key"]
        reply = page.ask("filters", layer=key, start=0)
        upper = arrays(reply)["upper"].astype(np.uint32)
        assert "weights" not in arrays(reply)
        asked = {"layer": key, "reading": reply["header"]["reading"]}
        lower = arrays(page.ask("filters_exact", **asked))["lower"]
        weights = conv.weight.detach().numpy().reshape(-1)
        np.testing.assert_array_equal((upper << 16 | lower).view(np.float32), weights)
        nn.init.constant_(conv.weight, 0.25)
        lens.refresh()
        assert (arrays(page.ask("filters_exact", **asked))["weights"] == 0.25).all()

    def test_huge_layer_comes_in_pages_of_whole_outputs(self, open_lens, page, monkeypatch):
        monkeypatch.setattr("convlens.widget.answers.PAGE_WEIGHTS", 100)
        linear = nn.Linear(30, 10)
        open_lens(linear)
        key = page.state["_structure"]["layers"][0]["key"]
        parts, start = [], 0
        while start < 10:
            reply = page.ask("filters", layer=key, start=start)
            labels = arrays(page.ask("cluster", layer=key, start=start))["labels"]
            part = arrays(reply)["weights"]
            assert labels.shape == (part.shape[0] * part.shape[1],)
            parts.append(part)
            assert reply["header"]["start"] == start
            start = reply["header"]["stop"]
        assert [len(part) for part in parts] == [3, 3, 3, 1]
        joined = np.concatenate(parts)[:, :, 0]
        np.testing.assert_array_equal(joined, linear.weight.detach().numpy())

    def test_click_that_waits_is_told_that_it_was_heard(self, open_lens, page, model):
        lens = open_lens(model)
        key = lens.layers.keys()[0]
        said = lambda of: [m["status"] for m in page.messages if m["id"] == of]  # noqa: E731
        first = page.send("distribution", params={"layer": key})
        page.answer(first)
        assert said(first) == ["ok"]
        with model_lock(model):
            busy = page.send("filters", params={"layer": key, "start": 0})
            waits = page.send("distribution", params={"layer": key})
            page.wait(lambda page: said(waits))
            assert said(waits) == ["progress"]
        assert page.answer(busy)["status"] == page.answer(waits)["status"] == "ok"

    def test_click_whose_first_step_is_long_is_told_that_it_was_heard(
        self, open_lens, page, model, monkeypatch
    ):
        lens = open_lens(model)
        monkeypatch.setattr("convlens.widget.conversation._SOON", -1.0)
        asked = page.send("filters", params={"layer": lens.layers.keys()[0], "start": 0})
        assert page.answer(asked)["status"] == "ok"
        assert [m["status"] for m in page.messages if m["id"] == asked] == ["progress", "ok"]

    def test_distribution_counts_every_weight_and_filter(self, open_lens, page, model):
        open_lens(model)
        found = arrays(page.ask("distribution", layer="2"))
        assert found["weights"].sum() == model[2].weight.numel()
        assert found["peaks"].sum() == 16 * 8

    def test_cancelled_request_is_told_so(self, open_lens, page, model):
        lens = open_lens(model)
        started, gate = threading.Event(), threading.Event()
        lens._measured.layers[0].module.register_forward_hook(lambda *_: None)
        original = cl.quality.measure_layer

        def slow(*args, **keys):
            started.set()
            assert gate.wait(10)
            return original(*args, **keys)

        import convlens.widget.answers as answers

        answers.measure_layer, kept = slow, answers.measure_layer
        try:
            number = page.send("quality", params={"eps": 0.01})
            assert started.wait(10)
            page.send("cancel", id=number)
            gate.set()
            assert page.answer(number)["status"] == "cancelled"
        finally:
            answers.measure_layer = kept
        assert page.ask("quality", eps=0.01)["status"] == "ok"


class Unreadable(nn.Module):
    def forward(self, weight):
        raise RuntimeError("no weight today")


class TestOddLayers:
    def test_nan_and_unreadable_layers_are_rows_that_say_so_and_the_rest_is_shown(
        self, open_lens, page, model
    ):
        from torch.nn.utils import parametrize

        nn.init.constant_(model[0].weight[0, 0], float("nan"))
        parametrize.register_parametrization(model[2], "weight", Unreadable(), unsafe=True)
        open_lens(model)
        rows = page.ask("quality", eps=0.01)["header"]["rows"]
        assert "NaN" in rows[0]["reason"]
        assert "no weight today" in rows[1]["reason"]
        assert rows[2]["reason"] is None
        # the filters that are finite can be looked at
        reply = page.ask("filters", layer="0", start=0)
        shown = arrays(reply)["weights"]
        assert np.isnan(shown).sum() == 9
        assert reply["header"]["max_abs"] == np.nanmax(abs(shown))
        assert page.ask("distribution", layer="0")["header"]["n"] == 23

    def test_lazy_and_meta_layers_are_listed(self, open_lens, page):
        net = nn.Sequential(
            nn.LazyConv2d(3, 3), nn.Conv2d(3, 3, 3, device="meta"), nn.Conv2d(3, 3, 3)
        )
        lens = open_lens(net)
        assert lens.layer == "2"
        rows = page.ask("quality", eps=0.01)["header"]["rows"]
        assert [row["reason"] is None for row in rows] == [False, False, True]


class TestBadMessages:
    @pytest.mark.parametrize(
        "content",
        [None, [], "hello", {}, {"id": "1"}, {"id": "1", "client": "v", "kind": "explode"}],
        ids=repr,
    )
    def test_malformed_is_answered_and_the_lens_goes_on(self, open_lens, page, model, content):
        open_lens(model)
        page.send_raw(content)
        assert page.messages[-1]["status"] == "error"
        assert page.ask("quality", eps=0.01)["status"] == "ok"

    def test_oversized_is_answered_and_the_lens_goes_on(self, open_lens, page, model):
        open_lens(model)
        reply = page.ask("filters", layer="x" * 10_000_000, start=0)
        assert "at most 2,000 characters" in reply["header"]["message"]
        assert len(json.dumps(reply["header"])) < 10_000
        assert page.answer(page.send("hello", buffers=[b"x" * 1_000_000]))["status"] == "error"
        assert page.ask("quality", eps=0.01)["status"] == "ok"

    def test_unknown_layer_names_the_nearest(self, open_lens, page):
        net = nn.Sequential()
        net.add_module("features", nn.Conv2d(3, 8, 3))
        open_lens(net)
        reply = page.ask("filters", layer="feature", start=0)
        assert "Did you mean 'features'" in reply["header"]["message"]

    def test_page_beyond_the_last_is_refused(self, open_lens, page, model):
        open_lens(model)
        reply = page.ask("filters", layer="0", start=500)
        assert reply["status"] == "error"
        assert "start must be below 8" in reply["header"]["message"]

    def test_request_before_hello_is_answered(self, open_lens, page, model):
        open_lens(model)
        assert page.ask("distribution", layer="0")["status"] == "ok"

    def test_cancel_of_what_ended_is_answered(self, open_lens, page, model):
        open_lens(model)
        page.send("hello", id="h")
        page.answer("h")
        page.send("cancel", id="h")
        assert "it ended or never began" in page.messages[-1]["header"]["message"]

    def test_error_of_a_model_comes_with_its_name(self, open_lens, page, model, monkeypatch):
        open_lens(model)

        def fail(*_):
            raise RuntimeError("out of memory")

        monkeypatch.setattr("convlens.widget.answers.distribution_of", fail)
        header = page.ask("distribution", layer="0")["header"]
        assert header["message"] == "RuntimeError: out of memory"
        assert "Traceback" in header["details"]


class TestWeightsChange:
    def test_training_makes_the_lens_stale_until_refresh(self, open_lens, page, model):
        lens = open_lens(model)
        page.ask("hello")
        before = page.ask("quality", eps=0.01)["header"]
        with torch.no_grad():
            model[2].weight.zero_()
        page.wait(lambda p: p.state["stale"])
        # what is shown stays until it is asked for anew
        assert page.ask("quality", eps=0.01)["header"]["rows"] == before["rows"]
        page.ask("refresh")
        assert not lens.stale
        assert page.state["revision"] == lens.revision == 1
        assert page.ask("quality", eps=0.01)["header"]["rows"][1]["sparsity"] == 1.0

    def test_refresh_from_a_cell(self, open_lens, page, model):
        lens = open_lens(model)
        page.ask("quality", eps=0.01)
        with torch.no_grad():
            model[0].weight.zero_()
        lens.refresh()
        reply = page.ask("filters", layer="0", start=0)
        assert not arrays(reply)["weights"].any()

    def test_click_on_refresh_keeps_the_order_of_calls_and_does_not_run_the_model(
        self, open_lens, page
    ):
        class Backwards(nn.Module):
            runs = 0

            def __init__(self):
                super().__init__()
                self.last, self.twice = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 4, 1)
                self.first = nn.Conv2d(3, 4, 1)

            def forward(self, x):
                self.runs += 1
                return self.last(self.twice(self.twice(self.first(x))))

        net = Backwards()
        open_lens(net, torch.zeros(2, 3, 5, 5))
        order = ["first", "twice:0", "twice:1", "last"]
        assert [layer["key"] for layer in page.state["_structure"]["layers"]] == order
        runs, net.new = net.runs, nn.Linear(2, 2)
        page.ask("refresh")
        assert net.runs == runs
        assert [layer["key"] for layer in page.state["_structure"]["layers"]] == [*order, "new"]
        rows = page.ask("quality", eps=0.01)["header"]["rows"]
        assert [row["key"] for row in rows] == [*order, "new"]

    def test_refresh_finds_new_layers_and_leaves_gone_ones(self, open_lens, page, model):
        lens = open_lens(model, layer="4")
        del model[4]
        model.append(nn.Linear(3, 2))
        lens.refresh()
        assert [layer["key"] for layer in page.state["_structure"]["layers"]] == ["0", "2", "4"]
        del model[4]
        lens.refresh()
        assert lens.layer == "0"


class TestResult:
    def test_quality_view(self, open_lens, model):
        lens = open_lens(model, eps=0.3)
        assert lens.result()["2"].sparsity == cl.measure_quality(model, eps=0.3)["2"].sparsity

    def test_filters_view(self, open_lens, model):
        lens = open_lens(model, view="filters", layer="2")
        np.testing.assert_array_equal(lens.result().weights, model[2].weight.detach().numpy())

    @pytest.mark.parametrize("view", ["quality", "filters"])
    def test_copied_code_runs_and_gives_the_result(self, open_lens, page, model, view):
        lens = open_lens(model, layer="2", view=view)
        code = page.state["_structure"]["code"][view].format(
            layer=repr(lens.layer),
            eps=repr(lens.eps),
            sort=repr(lens.sort),
            scale=repr(lens.scale),
            channel=repr(lens.channel),
        )
        scope = {"model": model}
        exec(code, scope)
        assert type(scope[view]) is type(lens.result())


class TestClose:
    def test_closed_lens_says_so_everywhere(self, open_lens, page, model):
        lens = open_lens(model)
        lens.close()
        lens.close()
        assert page.state["closed"]
        assert repr(lens) == "Lens(closed)"
        for use in (
            lens.result,
            lens.refresh,
            lambda: lens.model,
            lambda: lens.layers,
            lambda: lens.to_html("x.html"),
            lambda: setattr(lens, "eps", 0.5),
        ):
            with pytest.raises(ClosedLensError, match="Lens is closed"):
                use()
        assert "closed" in page.ask("quality", eps=0.01)["header"]["message"]

    def test_close_ends_the_thread_and_frees_the_model(self, page, model):
        import gc
        import weakref

        lens = Lens(model)
        page.ask("quality", eps=0.01)
        kept = weakref.ref(model[2])
        lens.close()
        del model
        gc.collect()
        # the fixture's own reference is the last one
        assert all(not isinstance(x, Lens) for x in gc.get_referrers(kept()))
        assert "convlens" not in {thread.name for thread in threading.enumerate()}


def test_blocking_lens_answers_inside_the_handler(open_lens, page, model):
    open_lens(model, blocking=True)
    number = page.send("quality", params={"eps": 0.01})
    assert page.messages[-1]["id"] == number
    assert page.messages[-1]["status"] == "ok"


def test_two_lenses_on_one_model(open_lens, page, model):
    first, second = open_lens(model), open_lens(model, layer="2")
    first.layer = "4"
    assert second.layer == "2"
