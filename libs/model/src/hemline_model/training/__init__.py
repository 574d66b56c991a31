"""Training: everything that needs Keras. Import it only where training happens."""

from hemline_model._evaluate import calibration_error
from hemline_model.training._calibrate import fit_temperature, predict_logits
from hemline_model.training._ensemble import build_ensemble, ensemble_to_directory
from hemline_model.training._export import export, load_model
from hemline_model.training._fine_tune import fine_tune
from hemline_model.training._fit import Builder, Fit, class_weights, fit
from hemline_model.training._layers import Augment
from hemline_model.training._loop import Batch, learning_rate_at
from hemline_model.training._network import build_network, count_multiply_adds
from hemline_model.training._run import train_to_directory, working_directory
from hemline_model.training._settings import (
    AugmentSettings,
    FineTuneSettings,
    NetworkSettings,
    TrainSettings,
)

__all__ = [
    "Augment",
    "AugmentSettings",
    "Batch",
    "Builder",
    "FineTuneSettings",
    "Fit",
    "NetworkSettings",
    "TrainSettings",
    "build_ensemble",
    "build_network",
    "calibration_error",
    "class_weights",
    "count_multiply_adds",
    "ensemble_to_directory",
    "export",
    "fine_tune",
    "fit",
    "fit_temperature",
    "learning_rate_at",
    "load_model",
    "predict_logits",
    "train_to_directory",
    "working_directory",
]
