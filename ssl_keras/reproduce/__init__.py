"""Studies that consist of many runs: `python -m ssl_keras.reproduce NAME`."""
