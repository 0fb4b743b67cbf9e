"""Scalars and pictures for TensorBoard, through its own event writer, without TensorFlow."""

import io
import threading
from pathlib import Path

from PIL import Image
from rich.console import Console

try:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:  # TensorBoard is optional: the losses are also in NAME.losses.jsonl
    EventFileWriter = None


class EventLog:
    """Writes events to a folder, to the last one when its `with` block ends. TensorBoard drops what an earlier log has
    beyond `step`. Does nothing without TensorBoard, and stops, with a line on stderr, when the disk is full: a training
    goes on without it.
    """

    def __init__(self, folder: Path, step: int):
        self._folder, self._writer = folder, None
        if EventFileWriter:
            self._try(lambda: EventFileWriter(str(folder)))
            self._add(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer:
            one = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            self._add(Event(step=step, summary=Summary(value=one)))

    def picture(self, step: int, name: str, image: Image.Image) -> None:
        if not self._writer:
            return
        file = io.BytesIO()
        image.save(file, "PNG")
        encoded = Summary.Image(
            height=image.height, width=image.width, colorspace=3, encoded_image_string=file.getvalue()
        )
        self._add(Event(step=step, summary=Summary(value=[Summary.Value(tag=name, image=encoded)])))

    def __enter__(self) -> "EventLog":
        self._hook, threading.excepthook = threading.excepthook, self._failed
        return self

    def __exit__(self, *_) -> None:
        if writer := self._writer:
            self._try(lambda: writer.close())
        threading.excepthook = self._hook

    def _add(self, event):
        if writer := self._writer:
            self._try(lambda: writer.add_event(event) or writer)

    def _try(self, action):
        """Runs the action, which returns the writer to go on with."""
        try:
            self._writer = action()
        except Exception as error:  # TensorFlow's own types, where it is installed
            self._writer = None
            reason = str(error).splitlines()[0]
            Console(stderr=True).print(f"no more TensorBoard events: {reason}", highlight=False, markup=False)

    def _failed(self, args):
        """The writer's thread raises what the next event raises here as well."""
        if not type(args.thread).__module__.startswith("tensorboard"):
            self._hook(args)
