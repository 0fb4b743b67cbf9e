"""Scalars and pictures for TensorBoard, through its own event writer, without TensorFlow."""

import io
from pathlib import Path

from PIL import Image

try:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ImportError:  # TensorBoard is optional: the losses are also in NAME.losses.jsonl
    EventFileWriter = None


class EventLog:
    """Writes events to a folder, to the last one when its `with` block ends. TensorBoard drops what an earlier log has
    beyond `step`. Does nothing without TensorBoard.
    """

    def __init__(self, folder: Path, step: int):
        self._writer = EventFileWriter and EventFileWriter(str(folder))
        if self._writer:
            self._writer.add_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self._writer:
            self._add(step, [Summary.Value(tag=name, simple_value=value) for name, value in values.items()])

    def picture(self, step: int, name: str, image: Image.Image) -> None:
        if not self._writer:
            return
        file = io.BytesIO()
        image.save(file, "PNG")
        encoded = Summary.Image(
            height=image.height, width=image.width, colorspace=3, encoded_image_string=file.getvalue()
        )
        self._add(step, [Summary.Value(tag=name, image=encoded)])

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(self, *_) -> None:
        if self._writer:
            self._writer.close()

    def _add(self, step, values):
        self._writer.add_event(Event(step=step, summary=Summary(value=values)))
