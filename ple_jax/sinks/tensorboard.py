"""TensorBoard: curves, knobs and tables in RUN/tensorboard.

`tensorboard --logdir RUN` shows them; the folder of a sweep shows all its trials.
"""

import time
from collections.abc import Iterable, Mapping

from ple_jax.sinks import About, Sink, as_markdown

NEEDS = "tensorboard"
SCALAR, TENSOR = 1, 2  # data classes of a summary's metadata


def build(about: About) -> Sink:
    """Event files of TensorBoard, in a folder of the run directory."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    writer = EventFileWriter(str(about.folder))

    def value(tag: str, content: float | str) -> Summary.Value:
        plugin, kind = ("text", TENSOR) if isinstance(content, str) else ("scalars", 1)
        data = SummaryMetadata.PluginData(plugin_name=plugin)
        metadata = SummaryMetadata(plugin_data=data, data_class=kind)
        tensor = make_tensor_proto(content, dtype=None if kind == TENSOR else "float32")
        return Summary.Value(tag=tag, tensor=tensor, metadata=metadata)

    def add(step: int, summary: Summary) -> None:
        event = Event(step=step, wall_time=time.time(), summary=summary)
        writer.add_event(event)
        writer.flush()

    def write(step: int, numbers: Mapping[str, float]) -> None:
        add(step, Summary(value=[value(*pair) for pair in numbers.items()]))

    def finish(step: int, numbers: Mapping[str, float], page: str) -> None:
        write(step, numbers)
        add(step, Summary(value=[value("result", page)]))

    if not about.step:
        add(0, Summary(value=[value("experiment", as_markdown(about.knobs))]))
        add(0, hparams_pb(dict(plain(about.knobs)), trial_id=about.identity))
    return Sink(write, finish, writer.close)


def plain(knobs: Mapping) -> Iterable[tuple[str, bool | float | str]]:
    """Knobs with values that its table of hyper-parameters takes; others as text."""
    for path, value in knobs.items():
        yield path, value if isinstance(value, bool | int | float) else str(value)
