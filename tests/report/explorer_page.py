"""A made-up page of the explorer, and the hand of its reader in Chromium."""

import dataclasses
import time

import numpy as np

from tests import chromium
from vae_jax.report.explorer import Axis, Explored, HeldOut

NUM, SIDE = 40, 32  # images, and pixels of each side


def lattice(axes: list[Axis], num_labels: int = 1) -> np.ndarray:
    """Images with a quarter for each axis, as bright as the point is far along it.

    The mixture of the corners of a cell is exact for these. The last quarter is as
    bright as the label is late.
    """
    parts = [(np.array(a.values) - a.values[0]) / np.ptp(a.values) for a in axes]
    shares = np.stack(np.meshgrid(*parts, indexing="ij"))
    images = np.zeros((num_labels, *shares.shape[1:], SIDE, SIDE, 1))
    half = SIDE // 2
    for k, share in enumerate(shares):
        top, left = half * (k // 2), half * (k % 2)
        images[..., top : top + half, left : left + half, 0] = share[..., None, None]
    for label in range(1, num_labels):
        images[label, ..., half:, half:, :] = label / (num_labels - 1)
    return images


def explored(name: str, axes: list[Axis], radius: float, **changes) -> Explored:
    """A run whose codes lie on a circle of its map."""
    angles = np.linspace(0, 2 * np.pi, NUM, endpoint=False)
    means = np.zeros((NUM, len(axes)))
    means[:, 0], means[:, 1] = radius * np.cos(angles), radius * np.sin(angles)
    run = Explored(
        name=name,
        numbers=[("ELBO", "−100 nats")],
        axes=axes,
        others=0,
        lattice=lattice(axes),
        decoded=np.full((NUM, SIDE, SIDE, 1), 0.5),
        means=means,
        variances=np.full(means.shape, 0.04),
        apart=np.zeros(NUM),
        beyond=np.zeros(NUM),
        reach=4.0,  # two standard deviations of 0.2
        draws=means / 2,
        has_standard_prior=True,
    )
    return dataclasses.replace(run, **changes)


# Where the values are closer together must not matter.
EIGHT = [-4, -2, -1.5, -1, 0, 0.5, 3.5, 4]
FLAT = [Axis("z[0]", EIGHT, 1.5), Axis("z[1]", [-4, 0, 4], 1.2)]
DEEP = [
    Axis("z[4]", [-2, -1, 2]),
    Axis("z[1]", [-2, 0, 1, 2]),
    Axis("z[7]", [-1, 0.5, 1]),
]
RUNS = [
    explored("weight <1>", FLAT, radius=2.0),
    explored(
        "conditional",
        DEEP,
        radius=1.0,
        others=5,
        lattice=lattice(DEEP, 2),
        labels=["left", "right"],
        given=[n % 2 for n in range(NUM)],
        has_standard_prior=False,
    ),
]
HELDOUT = HeldOut(
    np.linspace(0, 1, NUM)[:, None, None, None] * np.ones((NUM, SIDE, SIDE, 1)),
    labels=np.arange(NUM) % 3 - 1,  # a third has no label
    class_names=["cat", "dog"],
)


def opened(tab, file, width=1280, scheme="light", touch=False):
    """The page, ready, at the code of the first image."""
    scheme = {"name": "prefers-color-scheme", "value": scheme}
    tab.call("Emulation.setEmulatedMedia", features=[scheme])
    tab.call("Emulation.setTouchEmulationEnabled", enabled=touch)
    tab.open(file, width)
    deadline = time.monotonic() + chromium.TIMEOUT_S
    while not tab.run('"ready" in document.documentElement.dataset'):
        assert time.monotonic() < deadline, tab.events
        time.sleep(0.02)
    return tab


def point(page) -> list[float]:
    """Where the sliders say that the point is."""
    sliders = 'document.querySelectorAll("#sliders input")'
    axes = page.run("state.run.axes")
    shares = page.run(f"[...{sliders}].map((input) => Number(input.value))")
    pairs = zip(axes, shares, strict=True)
    return [a["low"] + s * (a["high"] - a["low"]) for a, s in pairs]


def quarters(page, canvas="here") -> list[float]:
    """Brightness in the middle of each quarter, 0 to 1."""
    pixels = f'at("{canvas}").getContext("2d").getImageData(0, 0, {SIDE}, {SIDE}).data'
    data = np.array(page.run(f"[...{pixels}]")).reshape(SIDE, SIDE, 4) / 255
    middle = [SIDE // 4, 3 * SIDE // 4]
    return data[np.ix_(middle, middle)][..., 0].ravel().tolist()


def on_screen(page, *z: float) -> tuple[float, float]:
    """Where a point of the map is in the window."""
    page.run('at("map").scrollIntoView({block: "center"})')
    box = page.run('at("map").getBoundingClientRect().toJSON()')
    a, b = page.run("state.run.axes.slice(0, 2)")
    x = box["left"] + box["width"] * (z[0] - a["low"]) / (a["high"] - a["low"])
    y = box["bottom"] - box["height"] * (z[1] - b["low"]) / (b["high"] - b["low"])
    return x, y


def mouse(page, kind: str, z: tuple[float, float]) -> None:
    x, y = on_screen(page, *z)
    page.call(
        "Input.dispatchMouseEvent",
        type=f"mouse{kind}",
        x=x,
        y=y,
        button="left",
        buttons=int(kind != "Released"),
        clickCount=1,
    )


def press(page, key: str, shift: bool = False) -> None:
    for kind in ("keyDown", "keyUp"):
        page.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=8 * shift
        )


def choose(page, field: str, number: int) -> None:
    """Presses the pill of a choice and waits until it is shown."""
    page.run(f'at("{field}").querySelectorAll("input")[{number}].click()')
    page.run("new Promise((done) => setTimeout(done, 100))")


def near(values, wanted, tolerance=0.02) -> bool:
    return np.allclose(values, wanted, atol=tolerance)
