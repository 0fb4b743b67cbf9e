"""A camera of your own: python examples/own_camera.py OUT (an .mp4 or a new folder).

A camera is any object with the attributes of appliance.parts.Camera. This one has no hardware: a ball rolls over a
meadow for two seconds.
"""

import sys

import numpy as np

from appliance.display import open_display
from appliance.engine.stylizer import Stylizer
from appliance.frames import Frame
from appliance.pipeline import Pipeline
from appliance.style import store


class Ball:
    live = False  # keep every frame; True drops those that come while the network is busy
    monotonic = False  # timestamps start at 0, so they are not on the clock of time.monotonic
    fps = 30.0
    yuv_size = None  # set by the pipeline: a camera may give YUV of that size. This one always gives RGB

    def frames(self, stop):
        y, x = np.mgrid[:360, :640]
        for index in range(60):
            if stop.is_set():
                return
            picture = np.empty((360, 640, 3), np.uint8)
            picture[:] = np.where(y < 200, 0, 1)[..., None] * [-60, -40, -180] + [140, 180, 230]  # sky, then meadow
            picture[(x - 10 * index) ** 2 + (y - 220) ** 2 < 60**2] = 220, 60, 40
            yield Frame(picture, timestamp=index / self.fps, index=index)


if __name__ == "__main__":
    pipeline = Pipeline(Ball(), Stylizer(store.find("starry_night")), open_display(sys.argv[1]))
    print(f"{pipeline.run().shown} frames")
