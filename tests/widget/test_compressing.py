"""What compression did, from the front end: filling in, stopping, resuming, flipped inputs."""

import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import convlens as cl
from convlens.widget import compressing, flipped, held, reporting
from convlens.widget.html import record
from tests.untouched import differences, fingerprint
from tests.widget.test_lens import arrays

AFTER = {"after": "auto"}


@pytest.fixture(scope="module")
def digits():
    return cl.demo.load()


@pytest.fixture(scope="module")
def small(digits):
    return cl.compression.quantize(digits.model, digits.images[:64], bits=3)


@pytest.fixture(scope="module")
def images(digits):
    return digits.images[:96]


@pytest.fixture(scope="module")
def labels(digits):
    return digits.labels[:96]


@pytest.fixture(scope="module")
def expected(digits, small, images, labels):
    return cl.compression.report(small, digits.model, images, labels)


class Loader:
    """Batches of sixteen with their labels, that can be held up and count what was drawn."""

    def __init__(self, images, labels):
        self.batches = list(zip(images.split(16), labels.split(16), strict=True))
        self.drawn, self.hold_at = 0, -1
        self.gate, self.waiting = threading.Event(), threading.Event()

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for index, (some, truth) in enumerate(self.batches):
            if index == self.hold_at:
                self.waiting.set()
                assert self.gate.wait(30)
            self.drawn += 1
            yield some, truth


def ranked(reply, name, side):
    layers = reply["header"]["layers"]
    return [layers[place][side] for place in reply["header"]["rankings"][name]["order"]]


def check_report(reply, expected, side="model"):
    header = reply["header"]
    assert header["finished"]
    assert header["n"] == expected.overall.n
    for name, ranking in header["rankings"].items():
        known = [layer.key for layer in expected.ranking(name)]
        assert ranked(reply, name, side)[: len(known)] == known
        assert sorted(ranking["order"]) == list(range(len(expected.layers)))
        unit = 1 if name in ("cka", "output_cosine") else 0
        values = np.array([getattr(layer, name) for layer in expected.layers], dtype=float)
        sizes = np.abs(unit - values)
        sizes[~np.isfinite(sizes)] = 0
        np.testing.assert_allclose(ranking["shares"], sizes / (sizes.max() or 1), atol=1e-4)
    facts = {name: value for name, value, _, _ in header["facts"]}
    before, after = expected.overall.reference_accuracy, expected.overall.accuracy
    if after is not None:
        assert facts["accuracy"] == f"{100 * before:.1f} % → {100 * after:.1f} %"
    assert facts["agreement"] == f"{100 * expected.overall.agreement:.1f} %"
    flips = [[f.index, f.before, f.after, f.label] for f in expected.flips]
    assert [
        [*row[:3], None if row[3] < 0 else row[3]] for row in arrays(reply)["flips"].tolist()
    ] == flips
    by_class = expected.flips_by_class()
    told = {before: counts for before, *counts in header["classes"]}
    assert told == {
        index: [row.flips, row.lost, row.won, row.most_to]
        for index, row in zip(by_class.index, by_class.itertuples(), strict=True)
    }
    for row, layer in zip(header["layers"], expected.layers, strict=True):
        assert row[side] == layer.key
        assert row["texts"]["weight_sqnr"] == f"{layer.weight_sqnr:.1f} dB"
        assert row["figures"][6].startswith(f"{layer.cka:.3f} ± ")
        assert len(row["figures"]) == len(reporting.FIGURES)


@pytest.mark.parametrize("side", ["model", "reference"])
def test_figures_are_those_of_the_plain_call_whichever_is_the_compressed_one(
    open_lens, page, digits, small, images, labels, expected, side
):
    both = (small, digits.model) if side == "model" else (digits.model, small)
    lens = open_lens(both[0], images, both[1], labels=labels, view="compression")
    reply = page.ask("compression", **AFTER)
    check_report(reply, expected, side)
    assert reply["header"]["side"] == side
    rows = reply["header"]["layers"]
    assert [row[side] for row in rows] == [layer.key for layer in expected.layers]
    assert {row["model"] for row in rows} <= {layer.key for layer in lens.layers}
    found = lens.result()
    assert isinstance(found, cl.compression.CompressionReport)
    assert [x.key for x in found.ranking()] == [x.key for x in expected.ranking()]


def test_of_two_of_one_size_the_model_is_what_came_after(open_lens, page, digits, images):
    tuned = cl.demo.load("redundant").model
    open_lens(tuned, images, digits.model)
    assert page.ask("compression_known", **AFTER)["header"]["side"] == "model"
    # and a person can say that it is the other way round
    reply = page.ask("compression", after="reference")
    expected = cl.compression.report(digits.model, tuned, images)
    assert ranked(reply, "cost", "reference") == [layer.key for layer in expected.ranking()]


def test_fills_in_stops_and_resumes_without_drawing_a_batch_twice(
    open_lens, page, digits, small, images, labels, expected
):
    loader = Loader(images, labels)
    lens = open_lens(small, loader, digits.model, view="compression")
    before = loader.drawn
    loader.hold_at = 3
    number = page.send("compression", params=AFTER)
    assert loader.waiting.wait(30)
    page.send("cancel", id=number)
    loader.gate.set()
    assert page.answer(number)["status"] == "cancelled"
    told = [m["header"] for m in page.messages if m["id"] == number and m["status"] == "progress"]
    done = [header["done"] for header in told]
    assert done == sorted(done)
    partial = lens.result()
    assert not partial.finished
    assert 0 < partial.overall.n < 96
    known = page.ask("compression_known", **AFTER)["header"]
    assert known["found"]
    assert not known["finished"]
    resumed = page.ask("compression", **AFTER)
    assert resumed["header"]["finished"]
    assert loader.drawn - before == 6
    plain = cl.compression.report(small, digits.model, Loader(images, labels))
    check_report(resumed, plain)
    assert lens.result().overall == plain.overall


@pytest.mark.parametrize("kind", ["tensor", "loader"])
def test_flipped_inputs_come_as_pictures_and_the_strip_holds_them(
    open_lens, page, digits, small, images, labels, expected, kind
):
    inputs = images if kind == "tensor" else Loader(images, labels)
    open_lens(small, inputs, digits.model, labels=labels if kind == "tensor" else None)
    flips = arrays(page.ask("compression", **AFTER))["flips"]
    assert len(flips) > 1
    reply = page.ask("compression_flips", after="auto", start=0)
    header, pictures = reply["header"], arrays(reply)["thumbnails"]
    places = [int(index) for index in flips[:48, 0]]
    assert header["held"] == places
    assert header["at"] == list(range(len(places)))
    rows = page.ask("inputs", start=0)
    thumbnails = arrays(rows)["thumbnails"]
    assert places[0] < len(thumbnails)
    for place, picture in zip(places, pictures, strict=True):
        if place < len(thumbnails):
            np.testing.assert_array_equal(picture, thumbnails[place])


def test_flipped_inputs_of_a_loader_that_gives_another_order_each_time_are_still_those(
    open_lens, page, digits, small, images, labels
):
    class Turning(Loader):
        def __iter__(self):
            self.batches.reverse()
            yield from super().__iter__()

    loader = Turning(images, labels)
    open_lens(small, loader, digits.model)
    page.ask("inputs", start=0)
    loader.batches.reverse()  # as the strip read them, so that the report reads the other way
    flips = arrays(page.ask("compression", **AFTER))["flips"]
    reply = page.ask("compression_flips", after="auto", start=0)
    run = cl.compression.report(small, digits.model, images, labels)
    assert len(flips) == len(run.flips)
    assert len(arrays(reply)["thumbnails"]) == len(flips)
    # what is shown is what flipped: its class from before is that of the original network
    with torch.no_grad():
        guesses = digits.model(torch.cat([some for some, _ in loader.batches])).argmax(1)
    assert [int(guesses[index]) for index in flips[:, 0]] == flips[:, 1].tolist()


def test_of_a_longer_loader_the_strip_holds_only_the_first(
    open_lens, page, digits, small, images, labels, monkeypatch
):
    monkeypatch.setattr(held, "MOST", 32)
    open_lens(small, Loader(images, labels), digits.model)
    reply = page.ask("compression", **AFTER)
    assert reply["header"]["n"] == 96, "the report is of all inputs"
    places = [int(index) for index in arrays(reply)["flips"][:, 0]]
    shown = page.ask("compression_flips", after="auto", start=0)
    assert shown["header"]["held"] == [place for place in places if place < 32]
    assert len(arrays(shown)["thumbnails"]) == len(places)


@pytest.mark.parametrize(("bound", "most"), [("MOST", 2), ("MOST_BYTES", 1.5 * 4 * 8 * 8)])
def test_pictures_are_kept_up_to_a_number_and_a_size(
    open_lens, page, digits, small, images, labels, monkeypatch, bound, most
):
    assert images[0].shape == (1, 8, 8)
    monkeypatch.setattr(flipped, bound, most)
    open_lens(small, Loader(images, labels), digits.model)
    assert len(arrays(page.ask("compression", **AFTER))["flips"]) > 2
    reply = page.ask("compression_flips", after="auto", start=0)
    assert len(arrays(reply)["thumbnails"]) == 2
    assert reply["header"]["at"] == [0, 1]


def test_offline_page_holds_the_first_pages_of_flipped_inputs(
    open_lens, page, digits, small, images, monkeypatch
):
    monkeypatch.setattr(flipped, "PAGE", 2)
    monkeypatch.setattr(compressing, "MOST", 2)
    lens = open_lens(small, images, digits.model)
    assert len(arrays(page.ask("compression", **AFTER))["flips"]) > 2
    for start in (0, 2):
        assert page.ask("compression_flips", after="auto", start=start)["status"] == "ok"
    kept = [key for key in record(lens, 0)["replies"] if key.startswith("compression_flips")]
    assert sorted(kept) == [
        f'compression_flips {{"after":"{after}","start":0}}' for after in ("auto", "model")
    ]


def test_scales_and_zero_points_of_a_layer_are_those_of_read_scales(
    open_lens, page, digits, small, images
):
    open_lens(digits.model, images, small)
    reply = page.ask("compression_scales", model="conv1", reference="conv1")
    plain = cl.compression.read_scales(small, "conv1")
    header, found = reply["header"], arrays(reply)
    assert "not quantised" in header["model_grid"]["reason"]
    assert (header["reference_grid"]["bits"], header["reference_grid"]["per_channel"]) == (3, True)
    np.testing.assert_allclose(found["reference_scales"], plain.scales, rtol=1e-6)
    np.testing.assert_array_equal(found["reference_zeros"], plain.zero_points)
    flat = plain.integers.reshape(len(plain.scales), -1)
    np.testing.assert_array_equal(found["reference_span"], np.stack([flat.min(1), flat.max(1)], 1))


def test_reference_of_another_architecture_offers_what_makes_sense(open_lens, page, digits, images):
    torch.manual_seed(0)
    other = nn.Sequential(nn.Conv2d(1, 5, 5), nn.ReLU(), nn.Flatten(), nn.LazyLinear(7))
    other(images[:2])
    open_lens(digits.model, images, other)
    reply = page.ask("compression", **AFTER)
    header = reply["header"]
    assert not header["classified"], "they tell other classes apart"
    assert [name for name, *_ in header["facts"]][:2] == ["on disk", "packed"]
    assert len(arrays(reply)["flips"]) == 0
    assert header["alone"]["model"], "layers without a counterpart are listed"
    for row in header["layers"]:
        assert "weights here" in row["missing"]["weight_sqnr"]
        assert row["texts"]["weight_sqnr"] == ""


def test_without_a_reference_or_inputs_there_is_no_report(open_lens, page, digits, images):
    for given, needs in (
        ((digits.model, images), "a second network"),
        ((digits.model, None, digits.model), "inputs"),
    ):
        lens = open_lens(*given, view="compression")
        missing = page.state["_structure"]["compression"]["missing"]
        assert missing["title"] == f"Compression needs {needs}"
        assert "reference=original" in missing["code"][-1]
        with pytest.raises(cl.errors.ArgumentError, match="give it inputs= and reference="):
            lens.result()
        reply = page.ask("compression", **AFTER)
        assert "give it inputs= and reference=" in reply["header"]["message"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("compression_by", "costs", "Did you mean 'cost'"),
        ("compression_after", "modle", "Did you mean 'model'"),
    ],
)
def test_wrong_choice_is_refused(open_lens, page, digits, images, name, value, says):
    lens = open_lens(digits.model, images, digits.model)
    with pytest.raises(cl.errors.ArgumentError, match=says):
        setattr(lens, name, value)


def test_wrong_requests_are_refused_in_a_sentence(open_lens, page, digits, small, images):
    open_lens(small, images, digits.model)
    assert "auto, model" in page.ask("compression", after="both")["header"]["message"]
    reply = page.ask("compression_flips", after="auto", start=0)
    assert "start must be below 0" in reply["header"]["message"]
    reply = page.ask("compression_scales", model="conv9", reference="")
    assert "conv9" in reply["header"]["model_grid"]["reason"]


def test_model_that_fails_is_told_and_measured_anew_when_asked_again(
    open_lens, page, digits, small, images
):
    broken = [True]

    def fail(*_):
        if broken[0]:
            raise ValueError("no such thing")

    open_lens(small, images, digits.model)
    handle = small.linear.register_forward_pre_hook(fail)
    try:
        reply = page.ask("compression", **AFTER)
        assert reply["status"] == "error"
        assert "no such thing" in reply["header"]["message"]
    finally:
        handle.remove()
        broken[0] = False
    reply = page.ask("compression", **AFTER)
    check_report(reply, cl.compression.report(small, digits.model, images))


def test_labels_that_do_not_fit_are_told(open_lens, page, digits, small, images, labels):
    open_lens(small, Loader(images, labels), digits.model, labels=labels[:80])
    reply = page.ask("compression", **AFTER)
    assert reply["status"] == "error"
    assert "labels" in reply["header"]["message"]


def test_changed_weights_are_measured_when_asked_to(open_lens, page, digits, images):
    before = cl.demo.load().model
    changed = cl.demo.load().model
    lens = open_lens(changed, images, before)
    first = page.ask("compression", **AFTER)
    texts = [row["texts"]["weight_sqnr"] for row in first["header"]["layers"]]
    assert set(texts) == {"unchanged"}
    with torch.no_grad():
        changed.get_parameter("conv1.weight").mul_(0.5)
    lens.refresh()
    assert not page.ask("compression_known", **AFTER)["header"]["found"]
    second = page.ask("compression", **AFTER)
    texts = [row["texts"]["weight_sqnr"] for row in second["header"]["layers"]]
    assert texts == ["6.0 dB", *["unchanged"] * (len(texts) - 1)]


def test_models_and_generators_notice_nothing(open_lens, page, digits, small, images, labels):
    loader = DataLoader(TensorDataset(images, labels), batch_size=32, shuffle=True)
    open_lens(small, loader, digits.model)
    page.ask("hello")
    before = fingerprint(small), fingerprint(digits.model)
    page.ask("compression", **AFTER)
    page.ask("compression_flips", after="auto", start=0)
    page.ask("compression_scales", model="conv1", reference="conv1")
    assert differences(before[0], fingerprint(small)) == []
    assert differences(before[1], fingerprint(digits.model)) == []


@pytest.mark.parametrize("after", ["model", "reference"])
def test_copied_code_gives_the_same_report(open_lens, page, digits, small, images, labels, after):
    both = (small, digits.model) if after == "model" else (digits.model, small)
    lens = open_lens(both[0], images, both[1], labels=labels, view="compression")
    code = page.state["_structure"]["code"]["compression"][after]
    scope = {"model": both[0], "reference": both[1], "inputs": images, "labels": labels}
    exec(code.format(by="'cka'", layer="'conv1'"), scope)
    assert scope["report"].overall == lens.result().overall
    assert scope["report"].layers == lens.result().layers


def test_offline_page_holds_what_was_computed(open_lens, page, digits, small, images, tmp_path):
    lens = open_lens(digits.model, images, small, view="compression")
    page.ask("compression", **AFTER)
    page.ask("compression_flips", after="auto", start=0)
    page.ask("compression_scales", model="conv1", reference="conv1")
    replies = record(lens, 10_000)["replies"]
    for after in ("auto", "reference"):
        assert f'compression {{"after":"{after}"}}' in replies
        assert f'compression_flips {{"after":"{after}","start":0}}' in replies
    assert 'compression_scales {"model":"conv1","reference":"conv1"}' in replies
    assert 'compression {"after":"model"}' not in replies
