"""What pyproject.toml can't say: in a wheel the programs lie inside the package.

`experiments` and `configs` are folders of the repository, but no names to put into
other people's environments. `vae_jax/__main__.py` finds them in both places.
"""

from setuptools import find_packages, setup

INSIDE = "vae_jax._programs"
programs = find_packages(include=["experiments*", "configs*"])

setup(
    packages=find_packages(include=["vae_jax*"])
    + [f"{INSIDE}.{name}" for name in programs],
    package_dir={f"{INSIDE}.{name}": name.replace(".", "/") for name in programs},
)
