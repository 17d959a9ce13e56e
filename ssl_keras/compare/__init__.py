"""Runs compared: side by side, or over a setting."""
