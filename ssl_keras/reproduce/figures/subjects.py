"""The encoders that a study compares."""

# The encoders in a run with both baselines -> the prefix of their measures.
SUBJECTS = {
    "untrained": "untrained/",
    "simclr": "",
    "supervised": "supervised/",
    "autoencoder": "autoencoder/",
}
