"""Stylise a film in ten lines: python examples/film.py IN.mp4 OUT.mp4 (any camera and display will do)."""

import sys

from appliance.camera import open_camera
from appliance.display import open_display
from appliance.pipeline import Pipeline
from appliance.shapes import Shapes
from appliance.style import store

source, sink = sys.argv[1:3]
shapes = Shapes(store.find("starry_night"))  # a network for each shape of picture
counters = Pipeline(open_camera(source, every_frame=True), None, open_display(sink), fitting=shapes).run()
print(f"{counters.shown} frames at {counters.fps:.1f} per second")
