"""Theory, computed and drawn: limits of NT-Xent, penalties, mean classifiers, downstream tasks."""
