"""What a study's numbers say about the claim behind it."""

from ssl_keras.reproduce.verdicts.claims import Claims, Verdict

__all__ = ["Claims", "Verdict"]
