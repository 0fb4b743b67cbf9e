"""Stylise a film in ten lines: python examples/film.py IN.mp4 OUT.mp4 (any camera and display will do)."""

import sys

from appliance.camera import open_camera
from appliance.display import open_display
from appliance.engine.stylizer import Stylizer
from appliance.pipeline import Pipeline
from appliance.style import store

source, sink = sys.argv[1:3]
stylizer = Stylizer(store.find("starry_night"))
counters = Pipeline(open_camera(source, every_frame=True), stylizer, open_display(sink)).run()
print(f"{counters.shown} frames at {counters.fps:.1f} per second")
