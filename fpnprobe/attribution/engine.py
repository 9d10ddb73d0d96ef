"""captum, imported without its note about progress bars in notebooks."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from captum.attr import (
        LayerConductance,
        LayerGradCam,
        LayerGradientXActivation,
        LayerIntegratedGradients,
    )
    from captum.metrics import infidelity, sensitivity_max

__all__ = [
    "LayerConductance",
    "LayerGradCam",
    "LayerGradientXActivation",
    "LayerIntegratedGradients",
    "infidelity",
    "sensitivity_max",
]
