"""Shapes and types of arrays, as annotations: documentation that the tests check at every call.

Names of dimensions agree within one signature. `*rest` is any number of dimensions.
"""

from typing import Union

import jax
import numpy as np
from jaxtyping import Float

Array = Union[jax.Array, np.ndarray]
Images = Float[Array, "batch height width 3"]  # RGB
Maps = Float[Array, "batch height width channels"]  # images or features
Mask = Float[Array, "batch height width 1"]
Flow = Float[Array, "batch height width 2"]  # pixels, (x, y)
Scalar = Float[Array, ""]
