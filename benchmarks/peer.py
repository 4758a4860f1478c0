"""The peer of pictures.py: the DCGAN of PyTorch's examples (Radford et al. 2016, arXiv:1511.06434), in PyTorch.

4x4 kernels, 512-256-128-64 channels, batch normalisation in both players, batch 64, Adam with step size 2e-4 and
beta1 0.5, all as in that example. Only the images differ in how they arrive: they are in memory and already resized, so
the peer does not spend time on reading files.

    python benchmarks/peer.py images.npy fakes --seed 0 --marks 500 1000 --fakes 5000
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

BATCH, LATENT, WIDTHS = 64, 100, (512, 256, 128, 64)


def make_generator() -> nn.Sequential:
    """Latents (N, 100, 1, 1) -> images (N, 3, 64, 64) in [-1, 1]."""
    parts = [nn.ConvTranspose2d(LATENT, WIDTHS[0], 4, 1, 0, bias=False)]
    for width, narrower in itertools.pairwise((*WIDTHS, 3)):
        parts += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, narrower, 4, 2, 1, bias=False)]
    return nn.Sequential(*parts, nn.Tanh())


def make_discriminator() -> nn.Sequential:
    """Images (N, 3, 64, 64) -> the probability that they are real, (N, 1, 1, 1)."""
    parts = [nn.Conv2d(3, WIDTHS[-1], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for narrower, width in itertools.pairwise(WIDTHS[::-1]):
        parts += [nn.Conv2d(narrower, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Conv2d(WIDTHS[0], 1, 4, 1, 0, bias=False), nn.Sigmoid())


def init_weights(layer: nn.Module) -> None:
    """DCGAN's initial weights (section 3)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


class Peer:
    """Both players, their optimizers and an endless supply of batches from uint8 images (N, 64, 64, 3)."""

    def __init__(self, images: np.ndarray, seed: int):
        torch.manual_seed(seed)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        self.generator = make_generator().apply(init_weights)
        self.discriminator = make_discriminator().apply(init_weights)
        players = self.generator, self.discriminator
        self.g_adam, self.d_adam = (torch.optim.Adam(p.parameters(), lr=2e-4, betas=(0.5, 0.999)) for p in players)
        self.parameters = sum(weights.numel() for player in players for weights in player.parameters())
        self.entropy = nn.BCELoss()
        self.batches = self.endless_batches()

    def endless_batches(self) -> Iterator[torch.Tensor]:
        """Batches of a new order in every pass. The last one of a pass may be smaller, as in the example."""
        while True:
            yield from (self.images[chosen] for chosen in torch.randperm(len(self.images)).split(BATCH))

    def loss(self, images: torch.Tensor, label: float) -> torch.Tensor:
        """The discriminator's cross-entropy when all `images` have this label."""
        probabilities = self.discriminator(images).flatten()
        return self.entropy(probabilities, torch.full_like(probabilities, label))

    def step(self) -> int:
        """Update the discriminator on reals and on fakes, then the generator. Returns the number of reals."""
        reals = next(self.batches)
        fakes = self.generator(torch.randn(len(reals), LATENT, 1, 1))
        self.d_adam.zero_grad()
        self.loss(reals, 1.0).backward()
        self.loss(fakes.detach(), 0.0).backward()
        self.d_adam.step()
        self.g_adam.zero_grad()
        self.loss(fakes, 1.0).backward()
        self.g_adam.step()
        return len(reals)

    @torch.no_grad()
    def sample(self, count: int) -> np.ndarray:
        """uint8 images (count, 64, 64, 3), always from the same latents. Batch normalisation uses the statistics of
        each batch of 64, as in the example, which never calls eval()."""
        random = torch.Generator().manual_seed(1)
        batches = [torch.randn(BATCH, LATENT, 1, 1, generator=random) for _ in range(-(-count // BATCH))]
        images = torch.cat([self.generator(batch) for batch in batches])[:count]
        return ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def take_turns(peer: Peer) -> None:
    """For each line on standard input, a number of seconds: train that long, then print the images per second."""
    for _ in range(3):
        peer.step()
    for line in sys.stdin:
        began, images = time.perf_counter(), 0
        while time.perf_counter() - began < float(line):
            images += peer.step()
        print(images / (time.perf_counter() - began), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="an .npy file of uint8 images (N, 64, 64, 3)")
    parser.add_argument("out", nargs="?", type=Path, help="write fakes to OUT-STEP.npz; without it, measure speed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--marks", type=int, nargs="+", default=[500], help="the steps after which to save fakes")
    parser.add_argument("--fakes", type=int, default=5000)
    options = parser.parse_args()
    peer = Peer(np.load(options.images), options.seed)
    threads = torch.get_num_threads()
    print(f"PyTorch {torch.__version__}, {threads} threads, {peer.parameters:,} parameters", flush=True)
    if not options.out:
        return take_turns(peer)
    began, seconds, images = time.perf_counter(), 0.0, 0
    for step in range(1, max(options.marks) + 1):
        images += peer.step()
        if step in options.marks:
            seconds += time.perf_counter() - began
            path = options.out.with_name(f"{options.out.name}-{step}.npz")
            unfinished = path.with_name(f".{path.name}")
            np.savez(unfinished, images=peer.sample(options.fakes))
            unfinished.replace(path)  # A file that exists is complete.
            print(f"step {step}, {seconds:.0f} s, {images / seconds:.1f} images/s", flush=True)
            began = time.perf_counter()


if __name__ == "__main__":
    main()
