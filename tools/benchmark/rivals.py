"""The other side of `tools.benchmark peers`: SimCLR in PyTorch, step by step on demand.

    python -m tools.benchmark.rivals lightly convnet 500 32 3

Trains an encoder on random images and answers each number of steps, a line of the standard input,
with the seconds that they took. It needs torch and, for `lightly`, lightly and torchvision
(`pip install .[peers]`), and nothing of this package.

    lightly   lightly's SimCLR: its transform (without blur, as is usual for small images) and loss,
              and torch's data loader with two processes
    hand      crops of the whole batch in one go, channels last, NT-Xent by hand: what one writes
              who wants speed
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any


def convnet(channels: int, size: int) -> Any:
    """`ssl_keras.networks.encoders.Convnet`."""
    import torch

    layers: list[Any] = []
    for filters in (32, 64, 64):
        layers += [
            torch.nn.Conv2d(channels, filters, 3, stride=2, bias=False),
            torch.nn.BatchNorm2d(filters),
            torch.nn.ReLU(inplace=True),
        ]
        channels, size = filters, (size - 3) // 2 + 1
    layers += [
        torch.nn.Flatten(),
        torch.nn.Linear(channels * size * size, 128, bias=False),
        torch.nn.BatchNorm1d(128),
        torch.nn.ReLU(inplace=True),
    ]
    return torch.nn.Sequential(*layers)


def resnet18(channels: int, size: int) -> Any:
    """torchvision's, with the stem for small images."""
    import torch
    import torchvision

    network = torchvision.models.resnet18()
    network.conv1 = torch.nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    network.maxpool = torch.nn.Identity()
    network.fc = torch.nn.Identity()
    return network


ENCODERS: dict[str, tuple[Callable[[int, int], Any], int]] = {
    "convnet": (convnet, 128),
    "resnet18": (resnet18, 512),
}


def head(features: int) -> Any:
    """A hidden layer of 256, and 64 dimensions."""
    import torch

    return torch.nn.Sequential(
        torch.nn.Linear(features, 256, bias=False),
        torch.nn.BatchNorm1d(256),
        torch.nn.ReLU(inplace=True),
        torch.nn.Linear(256, 64, bias=False),
    )


def lightly_steps(encoder: Any, features: int, batch: int, size: int, channels: int) -> Any:
    """An endless training with lightly; yields after each step."""
    import lightly.loss
    import lightly.transforms
    import numpy as np
    import torch
    from PIL import Image

    generator = np.random.default_rng(0)
    shape = (5000, size, size) + ((3,) if channels == 3 else ())
    pixels = generator.integers(0, 256, shape, np.uint8)
    transform = lightly.transforms.SimCLRTransform(input_size=size, gaussian_blur=0.0)
    images = [(Image.fromarray(image).convert("RGB"), 0) for image in pixels]

    class Views(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> Any:
            return transform(images[index][0])

    loader = torch.utils.data.DataLoader(
        Views(), batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    network = torch.nn.Sequential(encoder, head(features))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    criterion = lightly.loss.NTXentLoss(temperature=0.2)
    while True:
        for first, second in loader:
            loss = criterion(network(first), network(second))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def hand_steps(encoder: Any, features: int, batch: int, size: int, channels: int) -> Any:
    """An endless training written for speed; yields after each step."""
    import torch

    images = torch.rand(5000, channels, size, size)
    network = torch.nn.Sequential(encoder, head(features)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    grey = channels - 10 if channels > 10 else channels  # ten bit channels are not cropped

    def crops(picture: Any) -> Any:
        count = len(picture)
        area = 0.5 + 0.5 * torch.rand(count)
        aspect = torch.exp((2 * torch.rand(count) - 1) * 0.2877)
        height, width = (area / aspect).sqrt().clamp(max=1), (area * aspect).sqrt().clamp(max=1)
        matrix = torch.zeros(count, 2, 3)
        matrix[:, 0, 0], matrix[:, 1, 1] = width, height
        matrix[:, 0, 2] = (1 - width) * (2 * torch.rand(count) - 1)
        matrix[:, 1, 2] = (1 - height) * (2 * torch.rand(count) - 1)
        grid = torch.nn.functional.affine_grid(matrix, list(picture.shape), align_corners=False)
        return torch.nn.functional.grid_sample(picture, grid, align_corners=False)

    while True:
        chosen = images[torch.randint(len(images), (batch,))]
        both = torch.cat([chosen, chosen])
        views = torch.cat([crops(both[:, :grey]), both[:, grey:]], dim=1)
        views = views.contiguous(memory_format=torch.channels_last)
        rows = torch.nn.functional.normalize(network(views))
        logits = rows @ rows.T / 0.2
        logits.fill_diagonal_(-1e9)
        other = torch.arange(2 * batch).roll(batch)
        loss = torch.nn.functional.cross_entropy(logits, other)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


STEPS: dict[str, Callable[..., Iterator[None]]] = {"lightly": lightly_steps, "hand": hand_steps}


def main() -> int:
    """Answer until the input ends."""
    peer, encoder_name = sys.argv[1:3]
    batch, size, channels = map(int, sys.argv[3:6])
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # its default counts cores, not their threads
    build, features = ENCODERS[encoder_name]
    steps = STEPS[peer](build(channels, size), features, batch, size, channels)
    next(steps)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        print(time.perf_counter() - start, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
