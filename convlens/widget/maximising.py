"""What maximises a channel, for a Lens: started, stopped and gone on with from the front end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convlens.errors import ArgumentError, NoGradientError
from convlens.features import Features, Visualization, visualize_features
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.beside import Beside, smaller
from convlens.widget.exciting import Exciting
from convlens.widget.pictured import joined, one_of
from convlens.widget.sources import Sources
from convlens.widget.strip import Strip

__all__ = ["PAGE", "SIZES", "Maximising"]

Run = Features | Visualization | str
"""What there is of a channel: all, or as far as it came, or why there is nothing."""
Key = tuple[Any, ...]
"""Side, layer, steps, seed, size, mean, std; then a channel, or several that climb together."""


SIZES = (8, 28, 32, 64, 224)
"""Sides that inputs often have, offered where nothing says it."""

_HOW = ("layer", "steps", "seed", "size")
_REPORT_EVERY = 0.12
_KEPT_BYTES = 128 * 2**20
_SAVED_BYTES = 24 * 2**20
_TILE = 96  # side of the picture of a channel among all, in pixels
PAGE = 16
"""Channels that climb together."""


class Maximising:
    """What was found so far of the channels of the models of a Lens.

    Parameters
    ----------
    sources
        What the Lens was given.
    strip
        Its inputs, and the colours to show them in.
    """

    kinds: ClassVar[tuple[str, ...]] = ("features", "feature_page", "top_inputs", "activations")

    def __init__(self, sources: Sources, strip: Strip) -> None:
        self._sources, self._strip = sources, strip
        self._beside = Beside(sources, strip)
        self._exciting = Exciting(self._beside)
        self._runs: dict[Key, Visualization] = {}
        self._found: dict[Key, Features] = {}
        self._told: dict[str, tuple[str, dict[str, Any], Answer]] = {}
        self._guessed: dict[str, tuple[tuple[int, int], list[str]]] = {}
        # of a side and a layer: why no gradient comes back
        self._rigid: dict[tuple[str, str], str] = {}
        self._age = 0  # grows whenever the weights are read again

    def forget(self) -> None:
        """Forget what was computed: the weights have changed."""
        self._age += 1
        for kept in (self._beside, self._exciting):
            kept.forget()
        for found in (self._runs, self._found, self._told, self._guessed, self._rigid):
            found.clear()

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        age = self._age
        if kind == "features":
            return (yield from self._feature(params, progress))
        if kind == "feature_page":
            return (yield from self._page(params, progress))
        if self._sources.inputs is None:
            raise ArgumentError("This Lens has no inputs: make it with Lens(model, inputs=images).")
        if kind == "top_inputs":
            answer = yield from self._exciting.search(params, progress)
        else:
            answer = yield from self._exciting.maps(params)
        if age != self._age:
            return answer  # of weights that are past
        self._told[f"{kind} {params}"] = (kind, dict(params), answer)
        while len(self._told) > 256:
            del self._told[next(iter(self._told))]
        return answer

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give what there is to answer without running a model, the latest first.

        Yields
        ------
        kind, params, answer
            As many as a page can hold.
        """
        left = _SAVED_BYTES
        for kind, params, answer in self._answers():
            left -= sum(array.nbytes for array in answer[1].values())
            if left < 0:
                return
            yield kind, params, answer

    def _answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        yield from reversed(list(self._told.values()))
        asked: dict[tuple[Any, ...], None] = {}
        pages: dict[tuple[Any, ...], None] = {}
        for side, *how, _, _, channel in reversed([*self._found, *self._runs]):
            for one in [channel] if isinstance(channel, int) else channel:
                asked[(*how, one)] = None
                pages[(side, *how, one - one % PAGE)] = None
        for *how, channel in asked:
            params = dict(zip(_HOW, how, strict=True)) | {"channel": channel}
            runs = {side: self._known(side, params, channel) for side in self._beside.sides}
            if any(not isinstance(run, str) for run in runs.values()):
                yield "features", params, self._pictured(runs, params)
        for side, *how, start in pages:
            params = dict(zip(_HOW, how, strict=True)) | {"side": side, "start": start}
            every = self._beside.channels(side, params["layer"])
            tiles = self._tiles(params, None, range(start, min(every, start + PAGE)))
            if tiles:
                yield "feature_page", params, self._tiled(params, tiles, every, 1.0)

    def result(self, chosen: Any) -> Features:
        """Give what was synthesised for a channel, or for all of a layer; compute it now if not.

        Parameters
        ----------
        chosen
            Has the traits that say what: `layer`, `channel` (None for all), `feature_steps`, ...
        """
        layer, channel = chosen.layer, chosen.channel
        params = {
            "layer": layer,
            "steps": chosen.feature_steps or 0,
            "seed": chosen.feature_seed,
            "size": chosen.feature_size or 0,
        }
        every = range(self._beside.channels("model", layer)) if channel is None else [channel]
        found: list[Features] = []
        for one in every:
            known = self._known("model", params, one)
            if isinstance(known, Visualization):
                known = known.result() if known.done else ""
            if isinstance(known, Features):
                found.append(known)
        if found:
            return found[0] if channel is not None else joined(found, whole=len(every))
        for _ in self._beside.read():
            pass
        return visualize_features(
            self._sources.model,
            layer,
            None if channel is None else [channel],
            **self._arguments(params),
        )

    # -- one channel -----------------------------------------------------------------------

    def _feature(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        yield from self._beside.read()
        runs: dict[str, Run] = {}
        for side in self._beside.sides:
            runs[side] = self._begin(side, params, [params["channel"]])
            yield
        if any(isinstance(run, Visualization) for run in runs.values()):
            progress(*self._pictured(runs, params))
            yield
            yield from self._climb(runs, params, lambda: progress(*self._pictured(runs, params)))
        for side, run in runs.items():
            if isinstance(run, Visualization):
                runs[side] = self._settle(side, params, run)[0]
        return self._pictured(runs, params)

    def _begin(self, side: str, params: Mapping[str, Any], channels: list[int]) -> Run:
        """Give what is known of channels, a run that goes on with it, or why there is none."""
        if reason := self._why_not(side, params["layer"], max(channels)):
            return reason
        channel = channels[0] if len(channels) == 1 else tuple(channels)
        key = self._key(side, params, channel)
        if key in self._found:
            return self._found[key]
        run = self._runs.pop(key, None)
        if run is None:
            run = self._new(side, params, channels)
        self._runs[key] = run
        while len(self._runs) > 8:
            del self._runs[next(iter(self._runs))]
        return run

    def _why_not(self, side: str, layer: str, channel: int) -> str | None:
        return self._beside.why_not(side, layer, channel) or self._rigid.get((side, layer))

    def _new(self, side: str, params: Mapping[str, Any], channels: list[int]) -> Visualization:
        how, layer = self._arguments(params), self._beside.key(side, params["layer"])
        if how["inputs"] is not None or how["size"] is not None:
            return Visualization(self._beside.model(side), layer, channels, **how)
        # finding a size takes a forward pass of each that is usual: once
        known = self._guessed.get(side)
        how["size"] = known[0] if known else None
        run = Visualization(self._beside.model(side), layer, channels, **how)
        if known:
            run.notes[:0] = known[1]
        else:
            height, width = run.images().shape[1:3]
            said = [note for note in run.notes if note.startswith("size ")]
            self._guessed[side] = ((height, width), said)
        return run

    def _climb(
        self, runs: dict[str, Run], params: Mapping[str, Any], report: Callable[[], None]
    ) -> Generator[None]:
        """Make one step after the other, of all runs in turn; one that cannot says why."""
        climbing = {side: run for side, run in runs.items() if isinstance(run, Visualization)}
        age = self._age
        due = time.monotonic() + _REPORT_EVERY
        while climbing := {side: run for side, run in climbing.items() if not run.finished}:
            for side, run in list(climbing.items()):
                try:
                    with torch.enable_grad():
                        next(run.steps(), None)
                except NoGradientError as error:
                    runs[side] = self._rigid[side, params["layer"]] = str(error)
                    del climbing[side]
                yield
                if age != self._age:
                    raise ArgumentError(
                        "The weights were read again while this was drawn: draw it again."
                    )
            begun = time.monotonic()
            if begun > due:
                report()
                # telling takes a pass through the model: no more than a quarter of the time
                due = time.monotonic() + max(_REPORT_EVERY, 3 * (time.monotonic() - begun))

    def _settle(self, side: str, params: Mapping[str, Any], run: Visualization) -> list[Features]:
        """Keep what a run that is through has found, channel by channel."""
        whole = run.result()
        found = [one_of(whole, place) for place in range(len(whole))]
        for one in found:
            self._found[self._key(side, params, one.channels[0])] = one
        size = found[0].images.nbytes + found[0].pictures.nbytes + found[0].curve.nbytes
        while len(self._found) > max(len(found), _KEPT_BYTES // size):
            del self._found[next(iter(self._found))]
        self._runs = {key: other for key, other in self._runs.items() if other is not run}
        return found

    def _known(self, side: str, params: Mapping[str, Any], channel: int) -> Run:
        """Give what there is of a channel; "" where nothing is, or why there cannot be."""
        if reason := self._why_not(side, params["layer"], channel):
            return reason
        key = self._key(side, params, channel)
        return self._found.get(key) or self._runs.get(key) or ""

    def _key(self, side: str, params: Mapping[str, Any], channel: Any) -> Key:
        look = (str(self._strip.mean), str(self._strip.std))
        return (side, *(params[name] for name in _HOW), *look, channel)

    def _arguments(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Give the arguments of `visualize_features`, as the copied code has them."""
        held = self._strip.held
        images: Tensor | None = None
        if self._sources.inputs is not None:
            few, drawn = held.few(held.given)
            images = held.images(few, drawn=drawn)
        return {
            "inputs": images,
            "steps": params["steps"] or None,
            "seed": params["seed"],
            "size": params["size"] or None,
            "mean": self._strip.mean,
            "std": self._strip.std,
            "forward": self._sources.forward,
        }

    def _pictured(self, runs: Mapping[str, Run], params: Mapping[str, Any]) -> Answer:
        """Give the header and the pictures of one channel, as they are now."""
        sides: list[dict[str, Any]] = []
        arrays: dict[str, npt.NDArray[Any]] = {}
        done = total = length = 0
        finished, notes = True, dict[str, None]()
        for side, run in runs.items():
            if isinstance(run, str):
                nothing = {"extent": [0, 0, 1], "value": None, "fires": None, "why": None}
                sides.append(self._beside.shown(side, run or "was not drawn") | nothing)
                continue
            found = run if isinstance(run, Features) else run.result()
            over, picture = found.finished, found.pictures[0]
            made = int(np.isfinite(found.curve[0]).sum())
            side_now = {
                "extent": list(picture.shape),
                "value": float(found.activation[0] if over or made else found.start[0]),
                "fires": found.fires[0] if over else None,
                "why": found.reasons[0] if over else None,
            }
            sides.append(self._beside.shown(side, None) | side_now)
            arrays[f"{side}_picture"] = picture
            arrays[f"{side}_curve"] = found.curve[0][:made].astype(np.float32)
            length, finished = found.steps, finished and over
            total += found.steps
            done += found.steps if over else made
            notes |= dict.fromkeys(found.notes)
        header = {
            **params,
            "done": done,
            "total": total,
            "label": f"channel {params['channel']} of {params['layer']}",
            "length": length,
            "finished": finished,
            "notes": list(notes),
            "sides": sides,
        }
        return header, arrays

    # -- all channels ----------------------------------------------------------------------

    def _page(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        yield from self._beside.read()
        side, start, sides = params["side"], params["start"], self._beside.sides
        if side not in sides:
            raise ArgumentError(f"side must be one of {', '.join(sides)}, not {side!r}.")
        every = self._beside.channels(side, params["layer"])
        if start >= every:
            raise ArgumentError(f"start must be below {every}, the channels, not {start}.")
        page = range(start, min(every, start - start % PAGE + PAGE))
        missing = [one for one in page if self._key(side, params, one) not in self._found]
        if missing:
            run = self._begin(side, params, missing)
            if isinstance(run, str):
                raise ArgumentError(run)
            yield

            def report() -> None:
                share = run.done / run.total if isinstance(run, Visualization) else 1.0
                tiles = self._tiles(params, run, page)
                progress(*self._tiled(params, tiles, every, share))

            report()
            yield
            runs: dict[str, Run] = {side: run}
            yield from self._climb(runs, params, report)
            if isinstance(runs[side], str):
                raise ArgumentError(str(runs[side]))
            if isinstance(run, Visualization):
                self._settle(side, params, run)
        return self._tiled(params, self._tiles(params, None, page), every, 1.0)

    def _tiles(self, params: Mapping[str, Any], run: Run | None, page: range) -> list[Features]:
        """Give what there is of some channels, each alone."""
        working = run.result() if isinstance(run, Visualization) else None
        tiles: list[Features] = []
        for channel in page:
            found = self._found.get(self._key(params["side"], params, channel))
            if found is None and working is not None and channel in working.channels:
                found = one_of(working, working.channels.index(channel))
            if found is not None:
                tiles.append(found)
        return tiles

    def _tiled(
        self, params: Mapping[str, Any], tiles: list[Features], every: int, share: float
    ) -> Answer:
        start = params["start"]
        stop = min(every, start - start % PAGE + PAGE)
        pictures = smaller(np.concatenate([tile.pictures for tile in tiles]), _TILE)
        header = {
            **params,
            "done": round(start + share * (stop - start), 1),
            "total": every,
            "label": f"channels of {params['layer']}",
            "stop": stop,
            "channels": every,
            "at": [tile.channels[0] for tile in tiles],
            "extent": list(pictures.shape[1:]),
            "fires": [tile.fires[0] if tile.finished else None for tile in tiles],
        }
        values = np.array([tile.activation[0] for tile in tiles], dtype=np.float32)
        return header, {"pictures": pictures, "values": values}
