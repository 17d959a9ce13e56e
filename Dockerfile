# The package on TensorFlow's image for NVIDIA GPUs. There was no GPU to build and run it for: try
# this first, it prints images a second beside what to expect.
#
#   docker build --tag ssl_keras .
#   docker run --rm --gpus=all --workdir=/opt/ssl_keras --entrypoint=python ssl_keras \
#     -m pytest -q -s --confcutdir=tests/gpu tests/gpu
#   docker run --rm --gpus=all --volume="$PWD:/work" ssl_keras train --loss=nt_xent --num_bits=5
ARG TENSORFLOW=2.21.0
FROM tensorflow/tensorflow:${TENSORFLOW}-gpu

WORKDIR /opt/ssl_keras
COPY . .
# The extra brings the cuDNN that TensorFlow was built for; the image is said to hold an older one.
RUN python -m pip install --no-cache-dir --constraint requirements.lock ".[gpu]" \
 && python -m pip install --no-cache-dir --constraint requirements-dev.lock pytest

WORKDIR /work
ENTRYPOINT ["ssl-keras"]
CMD ["--help"]
