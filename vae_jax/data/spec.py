"""What a model needs to know of a data set: shapes and sizes, no values."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """The form of a data set; models and objectives are built from it.

    It is saved in a run's data.json, so that a model can be built without its data.
    """

    image_shape: tuple[int, int, int]  # (H, W, C)
    levels: str  # of the stored pixels: "binary", "8bit" or "float"
    num_train: int  # training examples
    num_classes: int | None = None  # of the labels, None where there are none
    factor_sizes: tuple[int, ...] | None = None  # values of each factor of variation
