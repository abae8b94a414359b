"""Which function computes which method, and how many forward passes each input takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from convlens.saliency import gradients, modular, noise, perturbing
from convlens.saliency.work import Rows, Steps, Work

__all__ = ["cost_of", "engine_of"]

Values = Mapping[str, Any]
Engine = Callable[[Work, Rows, Values], Steps[Tensor]]

_ENGINES: Mapping[str, Engine] = {
    "saliency": gradients.saliency,
    "input_x_gradient": gradients.input_x_gradient,
    "integrated_gradients": gradients.integrated_gradients,
    "gradient_shap": gradients.gradient_shap,
    "layer_grad_cam": gradients.grad_cam,
    "deep_lift": modular.deep_lift,
    "deep_lift_shap": modular.deep_lift_shap,
    "guided_backprop": modular.guided_backprop,
    "deconvolution": modular.deconvolution,
    "guided_grad_cam": modular.guided_grad_cam,
    "lrp": modular.lrp,
    "occlusion": perturbing.occlusion,
    "feature_ablation": perturbing.feature_ablation,
    "shapley_value_sampling": perturbing.shapley_value_sampling,
    "lime": perturbing.lime,
    "kernel_shap": perturbing.kernel_shap,
}


def engine_of(name: str) -> Engine:
    """Return the function that computes a method."""
    if name == "smoothgrad":
        return lambda work, rows, values: noise.smoothgrad(
            work, rows, values, _ENGINES[values["of"]]
        )
    if name == "vargrad":
        return lambda work, rows, values: noise.vargrad(work, rows, values, _ENGINES[values["of"]])
    return _ENGINES[name]


def cost_of(name: str, values: Values, shape: tuple[int, ...]) -> int:
    """Return how many forward passes each input of this shape (without the batch) takes."""
    if name in ("smoothgrad", "vargrad"):
        return values["samples"] * cost_of(values["of"], noise.defaults(values["of"]), shape)
    if name == "integrated_gradients":
        return values["steps"]
    if name == "gradient_shap":
        return values["samples"]
    if name == "deep_lift":
        return 2
    if name == "guided_grad_cam":
        return 2
    if name == "deep_lift_shap":
        return 2 * values["baselines"]
    if name in perturbing.METHODS:
        return perturbing.cost_of(name, values, shape)
    return 1
