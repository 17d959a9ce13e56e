"""Many runs of one command line: `python -m ssl_keras.sweep --temperature=0.1,0.2 --seed=0,1`."""
