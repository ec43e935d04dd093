"""The same training in PyTorch, for `benchmarks.train` to compare with.

Run by a Python that has torch and, for the kinds `loader` and `pythae`, torchvision and
pythae: `make bench-torch` makes one. It prints the kinds it can do, then reads lines
"KIND STEPS" from stdin and answers each with the steps per second.
"""

import contextlib
import importlib.util
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Callable

try:
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{sys.executable} has no package {error.name}: give --torch a Python with"
        " torch and torchvision, perhaps pythae; `make bench-torch` makes one"
    ) from None

HIDDEN, LATENT = 400, 20


class Twin(nn.Module):
    """Encoder, code and decoder; `normal` is a squared error, else binary pixels."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, normal: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.normal = encoder, decoder, normal

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the ELBO, nats per image."""
        if not self.normal:
            x = torch.bernoulli(x)
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        y = self.decoder(z)
        if self.normal:
            distortion = 0.5 * F.mse_loss(y, x, reduction="sum")
        else:
            distortion = F.binary_cross_entropy_with_logits(y, x, reduction="sum")
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
        return (distortion + kl) / len(x)


def make_mlp() -> Twin:
    """784-400-20-400-784, as in the VAE example of PyTorch."""
    size = 28 * 28
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(size, HIDDEN),
        nn.GELU("tanh"),
        nn.Linear(HIDDEN, 2 * LATENT),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, HIDDEN),
        nn.GELU("tanh"),
        nn.Linear(HIDDEN, size),
        nn.Unflatten(1, (1, 28, 28)),
    )
    return Twin(encoder, decoder, normal=False)


def make_conv(side: int, channels: tuple[int, ...], color: int, latent: int) -> Twin:
    """4x4 convolutions with stride 2, dense layers of 256 next to the code."""
    small = side // 2 ** len(channels)
    flat = channels[-1] * small**2
    down: list[nn.Module] = []
    for before, after in itertools.pairwise((color, *channels)):
        down += [nn.Conv2d(before, after, 4, 2, 1), nn.GELU("tanh")]
    up: list[nn.Module] = []
    for before, after in itertools.pairwise((*reversed(channels), color)):
        up += [nn.GELU("tanh"), nn.ConvTranspose2d(before, after, 4, 2, 1)]
    encoder = nn.Sequential(
        *down,
        nn.Flatten(),
        nn.Linear(flat, 256),
        nn.GELU("tanh"),
        nn.Linear(256, 2 * latent),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 256),
        nn.GELU("tanh"),
        nn.Linear(256, flat),
        nn.Unflatten(1, (channels[-1], small, small)),
        *up,
    )
    return Twin(encoder, decoder, normal=color == 3)


MODELS: dict[str, Callable[[], Twin]] = {
    "mlp": make_mlp,
    "conv": lambda: make_conv(28, (32, 64), 1, LATENT),
    "cifar": lambda: make_conv(32, (32, 64, 128), 3, 64),
}


class Images(Dataset):
    """Images as torchvision's data sets give them: decoded by PIL, one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        from torchvision.transforms.functional import to_tensor  # only of this kind

        self.images, self.to_tensor = images, to_tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.to_tensor(Image.fromarray(self.images[index].squeeze()))


def quiet() -> contextlib.AbstractContextManager[object]:
    """Sends stdout, which carries the answers, to stderr."""
    return contextlib.redirect_stdout(sys.stderr)


def pythae(images: torch.Tensor, batch_size: int, steps: int) -> float:
    """Steps per second of pythae's trainer, with the network of `make_mlp`."""
    logging.disable(logging.INFO)
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    twin = make_mlp()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = twin.encoder

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_var = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = twin.decoder

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    with tempfile.TemporaryDirectory() as folder:
        from pythae.data.datasets import BaseDataset

        epochs = max(1, round(steps * batch_size / len(images)))
        settings = VAEConfig(
            input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"
        )
        trainer = BaseTrainer(
            VAE(settings, encoder=Encoder(), decoder=Decoder()),
            BaseDataset(images, torch.zeros(len(images))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=batch_size,
                no_cuda=True,
            ),
        )
        start = time.perf_counter()
        trainer.train()
        taken = time.perf_counter() - start
    return epochs * (len(images) / batch_size) / taken


def main(model_name: str, path: str, batch_size: int) -> None:
    """Answers requests until stdin ends."""
    stored = np.load(path)["x_train"]
    images = torch.from_numpy(stored).permute(0, 3, 1, 2).float() / 255
    model = MODELS[model_name]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss = model(x)
        loss.backward()
        optimizer.step()

    def loader(steps: int) -> None:
        data = DataLoader(Images(stored), batch_size, shuffle=True, drop_last=True)
        batches = itertools.chain.from_iterable(itertools.repeat(data))
        for x in itertools.islice(batches, steps):
            step(x)

    def indexed(steps: int) -> None:
        for _ in range(steps):
            step(images[torch.randint(len(images), (batch_size,))])

    kinds = {"indexed": indexed}
    if importlib.util.find_spec("torchvision"):
        kinds["loader"] = loader
    has_pythae = model_name == "mlp" and importlib.util.find_spec("pythae")
    print(*kinds, *(["pythae"] if has_pythae else []), flush=True)
    for line in sys.stdin:
        kind, steps = line.split()[0], int(line.split()[1])
        with quiet():
            if kind == "pythae":
                speed = pythae(images, batch_size, steps)
            else:
                start = time.perf_counter()
                kinds[kind](steps)
                speed = steps / (time.perf_counter() - start)
        print(speed, flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit("usage: torch_twin.py MODEL FILE.npz BATCH_SIZE")
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
