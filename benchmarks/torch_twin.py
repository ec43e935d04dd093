"""The same training in PyTorch, for `benchmarks.train` to compare with.

Run by a Python that has torch (and, for the kind `pythae`, pythae). It reads lines
"KIND STEPS" from stdin and answers each with the seconds that these steps took.
"""

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

HIDDEN, LATENT = 400, 20


class MLPTwin(nn.Module):
    """784-400-20-400-784, as in the VAE example of PyTorch."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.enc, self.out = nn.Linear(size, HIDDEN), nn.Linear(HIDDEN, 2 * LATENT)
        self.dec, self.logits = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the ELBO, nats per image."""
        mean, log_var = self.out(F.gelu(self.enc(x))).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        logits = self.logits(F.gelu(self.dec(z)))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
        return (bce + kl) / len(x)


def main(path: str, batch_size: int) -> None:
    """Answers requests until stdin ends."""
    images = torch.from_numpy(np.load(path)["x_train"]).flatten(1).float() / 255
    model = MLPTwin(images.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss = model(torch.bernoulli(x))
        loss.backward()
        optimizer.step()
        return loss.item()

    def loader(steps: int) -> None:
        data, done = DataLoader(TensorDataset(images), batch_size, shuffle=True), 0
        while done < steps:
            for (x,) in data:
                if done == steps or len(x) < batch_size:
                    break
                step(x)
                done += 1

    def indexed(steps: int) -> None:
        for _ in range(steps):
            step(images[torch.randint(len(images), (batch_size,))])

    kinds = {"loader": loader, "indexed": indexed}
    for line in sys.stdin:
        kind, steps = line.split()
        start = time.perf_counter()
        kinds[kind](int(steps))
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
