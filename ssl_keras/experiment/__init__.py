"""A run from configuration to results: the tested heart. No absl, no command line.

config = Config.make(loss="uniform_prior", num_bits=3)
results = experiment.run(config)
"""

from ssl_keras.experiment.building import Experiment, build
from ssl_keras.experiment.evaluating import evaluate
from ssl_keras.experiment.exporting import export_run
from ssl_keras.experiment.finetuning import finetune
from ssl_keras.experiment.restoring import restore
from ssl_keras.experiment.running import run

__all__ = ["Experiment", "build", "evaluate", "export_run", "finetune", "restore", "run"]
