"""The words and numbers that every part shares: arrays, the trimap's three values, the stride."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]  # an image (H, W, 3) in RGB, or an alpha (H, W), in [0, 1]
Trimap = npt.NDArray[np.uint8]  # (H, W) of the three values below
Mask = npt.NDArray[np.bool_]  # (H, W)
Levels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]  # as files hold them: (H, W) or (H, W, C)
Size = tuple[int, int]  # (height, width)
Box = tuple[int, int, int, int]  # top, left, bottom, right; it may reach beyond the picture

BACKGROUND = 0
UNKNOWN = 128
FOREGROUND = 255

STRIDE = 16  # the network's sides are multiples of it
