"""Y, U and V from R, G and B by ITU-R BT.601-7 (2.5.1, 2.5.2): the only place with its constants.

Y = LUMA . (R, G, B), U = (B - Y) / BLUE and V = (R - Y) / RED: for R, G, B in 0..1, Y is in 0..1, U and V in -0.5..0.5.
"""

import numpy as np

LUMA = (0.299, 0.587, 0.114)
RED, BLUE = 1.402, 1.772
TO_YUV = np.array([LUMA, np.subtract([0, 0, 1], LUMA) / BLUE, np.subtract([1, 0, 0], LUMA) / RED])  # (3, 3) float64
