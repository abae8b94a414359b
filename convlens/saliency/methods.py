"""The methods of attribution, each declared once: menu, form and docs come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from convlens.errors import ArgumentError, nearest
from convlens.parameters import Parameter, fill_in

__all__ = ["METHODS", "Method", "find_method"]

Family = Literal["gradient", "layer", "perturbation"]


@dataclass(frozen=True)
class Method:
    """One way to say which parts of an input a prediction rests on.

    Attributes
    ----------
    name, title
        As given to ``method=``; as shown.
    help
        What it does, in one line.
    family
        "gradient" (backward passes), "layer" (the map of a layer) or "perturbation" (forward
        passes on changed inputs, which needs no gradients).
    needs
        What it needs of a model, in words.
    source
        The paper.
    parameters
        Declared one by one.
    signed
        Whether its values say for and against, with its default parameters.
    takes_baseline
        Whether it compares with a baseline.
    takes_layer
        Whether it is about a layer: ``layer=`` chooses it, by default the last convolution.
    layer_variant
        Whether ``layer=`` without ``channel=`` attributes the target to that layer's outputs.
    has_delta
        Whether it adds up to a difference of outputs: ``Saliency.delta`` is what is missing.
    modules
        Whether it works by hooks on modules, so that functional and reused ReLUs are rewritten.
    """

    name: str
    title: str
    help: str
    family: Family
    needs: str
    source: str
    parameters: tuple[Parameter, ...] = ()
    signed: bool = True
    takes_baseline: bool = False
    takes_layer: bool = False
    layer_variant: bool = False
    has_delta: bool = False
    modules: bool = False

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every parameter's value, defaults filled in, those given checked."""
        return fill_in(self.name, self.parameters, given)

    def to_json(self) -> dict[str, Any]:
        """Return the declaration for a menu and a form."""
        return {
            "name": self.name,
            "title": self.title,
            "help": self.help,
            "family": self.family,
            "needs": self.needs,
            "source": self.source,
            "signed": self.signed,
            "takes_baseline": self.takes_baseline,
            "takes_layer": self.takes_layer,
            "layer_variant": self.layer_variant,
            "has_delta": self.has_delta,
            "parameters": [parameter.to_json() for parameter in self.parameters],
        }


_GRADIENTS = "gradients"
_MODULES = "gradients; every ReLU a module used once (functional and reused ones are rewritten)"
_NOTHING = "nothing: forward passes only"

_NOISE = Parameter(
    "noise", "float", 0.15, "width of the noise, as a share of the input's range", high=1.0
)
_BASELINES = Parameter("baselines", "int", 8, "baselines drawn for each input", low=2, high=1000)
_INTERPOLATE = Parameter(
    "interpolate",
    "choice",
    "bilinear",
    "how the layer's map is brought to the size of the input",
    choices=("bilinear", "nearest"),
)
_PATCH = Parameter(
    "patch",
    "int",
    0,
    "side in pixels of the squares that are taken away; 0 for an eighth of the image",
    low=0,
    high=4096,
)


def _samples(default: int, what: str) -> Parameter:
    return Parameter("samples", "int", default, what, low=1, high=100_000)


_PLAIN = (
    Method(
        name="saliency",
        title="Saliency",
        help="the gradient of the target with respect to the input",
        family="gradient",
        needs=_GRADIENTS,
        source="Simonyan, Vedaldi & Zisserman, ICLR workshop 2014",
        parameters=(
            Parameter("absolute", "bool", True, "the size of the gradient, without its sign"),
        ),
        signed=False,
        layer_variant=True,
    ),
    Method(
        name="input_x_gradient",
        title="Input x gradient",
        help="the gradient times the input",
        family="gradient",
        needs=_GRADIENTS,
        source="Shrikumar et al., arXiv 1605.01713",
        layer_variant=True,
    ),
    Method(
        name="integrated_gradients",
        title="Integrated gradients",
        help="the gradient averaged on the way from a baseline, times the difference to it",
        family="gradient",
        needs=_GRADIENTS,
        source="Sundararajan, Taly & Yan, ICML 2017",
        parameters=(
            Parameter("steps", "int", 50, "points on the way", low=1, high=10_000),
            Parameter(
                "rule",
                "choice",
                "gausslegendre",
                "how the points are laid and weighted",
                choices=(
                    "gausslegendre",
                    "riemann_trapezoid",
                    "riemann_middle",
                    "riemann_left",
                    "riemann_right",
                ),
            ),
        ),
        takes_baseline=True,
        layer_variant=True,
        has_delta=True,
    ),
    Method(
        name="gradient_shap",
        title="GradientShap",
        help="gradients at random points on the way from drawn baselines: expected Shapley values",
        family="gradient",
        needs=_GRADIENTS,
        source="Lundberg & Lee, NeurIPS 2017; Erion et al., Nature Machine Intelligence 2021",
        parameters=(_samples(20, "random points"), _NOISE, _BASELINES),
        takes_baseline=True,
    ),
    Method(
        name="deep_lift",
        title="DeepLift",
        help="differences to a baseline, passed back through each unit (rescale rule)",
        family="gradient",
        needs=_MODULES + "; no other non-linearity than DeepLift has a rule for",
        source="Shrikumar, Greenside & Kundaje, ICML 2017",
        takes_baseline=True,
        layer_variant=True,
        has_delta=True,
        modules=True,
    ),
    Method(
        name="deep_lift_shap",
        title="DeepLiftShap",
        help="DeepLift averaged over drawn baselines: approximate Shapley values",
        family="gradient",
        needs=_MODULES + "; no other non-linearity than DeepLift has a rule for",
        source="Lundberg & Lee, NeurIPS 2017",
        parameters=(_BASELINES,),
        takes_baseline=True,
        has_delta=True,
        modules=True,
    ),
    Method(
        name="guided_backprop",
        title="Guided backpropagation",
        help="the gradient through ReLUs that let only positive gradients pass",
        family="gradient",
        needs=_MODULES,
        source="Springenberg et al., ICLR workshop 2015",
        modules=True,
    ),
    Method(
        name="deconvolution",
        title="Deconvolution",
        help="like the gradient, each ReLU applied to what comes back instead",
        family="gradient",
        needs=_MODULES,
        source="Zeiler & Fergus, ECCV 2014",
        modules=True,
    ),
    Method(
        name="lrp",
        title="LRP",
        help="the output handed back layer by layer, in proportion to what each input gave",
        family="gradient",
        needs="gradients; a rule for every layer (functional calls become modules)",
        source="Bach et al., PLoS ONE 2015; Montavon et al. 2019",
        parameters=(
            Parameter(
                "rule",
                "choice",
                "epsilon",
                "how relevance is shared out",
                choices=("epsilon", "gamma", "alpha1_beta0"),
            ),
            Parameter("epsilon", "float", 1e-9, "of the rule epsilon: what absorbs small terms"),
            Parameter("gamma", "float", 0.25, "of the rule gamma: how positive weights gain"),
        ),
        layer_variant=True,
        has_delta=True,
        modules=True,
    ),
    Method(
        name="layer_grad_cam",
        title="Grad-CAM",
        help="a layer's channels, each weighted with its mean gradient, summed up",
        family="layer",
        needs="gradients; a layer whose output is a map",
        source="Selvaraju et al., ICCV 2017",
        parameters=(
            Parameter("relu", "bool", True, "keep only what speaks for the target"),
            _INTERPOLATE,
        ),
        signed=False,
        takes_layer=True,
    ),
    Method(
        name="guided_grad_cam",
        title="Guided Grad-CAM",
        help="guided backpropagation times Grad-CAM",
        family="layer",
        needs=_MODULES + "; a layer whose output is a map",
        source="Selvaraju et al., ICCV 2017",
        parameters=(_INTERPOLATE,),
        takes_layer=True,
        modules=True,
    ),
)

_OF = Parameter(
    "of",
    "choice",
    "saliency",
    "the method whose maps are taken together",
    choices=tuple(method.name for method in _PLAIN),
)

_NOISY = (
    Method(
        name="smoothgrad",
        title="SmoothGrad",
        help="the mean of another method's maps over noisy copies of the input",
        family="gradient",
        needs="what the other method needs",
        source="Smilkov et al., arXiv 1706.03825",
        parameters=(_OF, _samples(25, "noisy copies of each input"), _NOISE),
        signed=False,
        takes_baseline=True,
    ),
    Method(
        name="vargrad",
        title="VarGrad",
        help="the variance of another method's maps over noisy copies of the input",
        family="gradient",
        needs="what the other method needs",
        source="Adebayo et al., ICLR workshop 2018",
        parameters=(_OF, _samples(25, "noisy copies of each input"), _NOISE),
        signed=False,
        takes_baseline=True,
    ),
)

_PERTURBING = (
    Method(
        name="occlusion",
        title="Occlusion",
        help="how far the target falls when a window is covered by the baseline",
        family="perturbation",
        needs=_NOTHING,
        source="Zeiler & Fergus, ECCV 2014",
        parameters=(
            Parameter(
                "window",
                "int",
                0,
                "side of the window in pixels; 0 for a quarter of the image",
                low=0,
                high=4096,
            ),
            Parameter(
                "stride",
                "int",
                0,
                "pixels from one window to the next; 0 for half a window",
                low=0,
                high=4096,
            ),
        ),
        takes_baseline=True,
    ),
    Method(
        name="feature_ablation",
        title="Feature ablation",
        help="how far the target falls when a square is replaced by the baseline",
        family="perturbation",
        needs=_NOTHING,
        source="Captum; cf. Zeiler & Fergus, ECCV 2014",
        parameters=(_PATCH,),
        takes_baseline=True,
    ),
    Method(
        name="shapley_value_sampling",
        title="Shapley value sampling",
        help="what a square adds on average, whichever others are there: random orders",
        family="perturbation",
        needs=_NOTHING,
        source="Castro, Gomez & Tejada, Computers & Operations Research 2009",
        parameters=(_PATCH, _samples(10, "random orders of the squares")),
        takes_baseline=True,
    ),
    Method(
        name="lime",
        title="Lime",
        help="a sparse linear model of the target around the input, over squares on or off",
        family="perturbation",
        needs="forward passes only; scikit-learn",
        source="Ribeiro, Singh & Guestrin, KDD 2016",
        parameters=(
            _PATCH,
            _samples(200, "random sets of squares"),
            Parameter("alpha", "float", 0.01, "weight of the lasso: more sets more squares to 0"),
        ),
        takes_baseline=True,
    ),
    Method(
        name="kernel_shap",
        title="KernelShap",
        help="Shapley values by a weighted linear model over squares on or off",
        family="perturbation",
        needs="forward passes only; scikit-learn",
        source="Lundberg & Lee, NeurIPS 2017",
        parameters=(_PATCH, _samples(200, "random sets of squares")),
        takes_baseline=True,
    ),
)

METHODS: Mapping[str, Method] = {method.name: method for method in (*_PLAIN, *_NOISY, *_PERTURBING)}
"""Every method by the name that ``attribute(method=...)`` takes."""


def find_method(name: object) -> Method:
    """Return the method of that name, or say which there are."""
    if isinstance(name, Method):
        return name
    found = METHODS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ArgumentError(
            f"method is {name!r}; it must be one of {', '.join(METHODS)}.{nearest(name, METHODS)}"
        )
    return found
