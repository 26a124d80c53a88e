"""MLflow: a run in its tracking store, by default a file beside the run directory.

The environment says otherwise: MLFLOW_TRACKING_URI names the store, and
MLFLOW_EXPERIMENT_NAME the collection of runs. `mlflow ui --backend-store-uri
sqlite:///runs/mlflow.db` shows the default.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ple_jax.sinks import About, Sink

NEEDS = "mlflow"
IDENTITY, GROUP = "ple_jax.run", "ple_jax.group"  # tags
AT_ONCE = 100  # metrics or knobs in a request: its limit is 1000 and 100


def build(about: About) -> Sink:
    """A run of MLflow's tracking store, found again by a tag when it is resumed."""
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    store = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(store or f"sqlite:///{about.home / 'mlflow.db'}")
    run = found(client, about)
    for part in parts([Param(k, str(v)) for k, v in about.knobs.items()]):
        client.log_batch(run, params=part)
    client.update_run(run, status="RUNNING")
    status = "KILLED"

    def write(step: int, numbers: Mapping[str, float]) -> None:
        now = round(time.time() * 1000)
        each = [Metric(key(k), v, now, step) for k, v in numbers.items()]
        for part in parts(each):
            client.log_batch(run, metrics=part)

    def finish(step: int, numbers: Mapping[str, float], page: str) -> None:
        nonlocal status
        write(step, numbers)
        client.log_text(run, page, "result.md")
        status = "FINISHED"

    return Sink(write, finish, lambda: client.set_terminated(run, status))


def found(client: Any, about: About) -> str:
    """The identifier of the run in the store; makes the run if it is not there."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ple_jax")
    is_ours = "MLFLOW_TRACKING_URI" not in os.environ  # a server has files of its own
    files = (about.home / "mlartifacts").as_uri() if is_ours else None
    kept = client.get_experiment_by_name(name)
    number = kept.experiment_id if kept else client.create_experiment(name, files)
    runs = client.search_runs([number], f"tags.`{IDENTITY}` = '{about.identity}'")
    if runs:
        return runs[0].info.run_id
    tags = {IDENTITY: about.identity, GROUP: about.group}
    return client.create_run(number, run_name=about.name, tags=tags).info.run_id


def key(name: str) -> str:
    """A name without characters that MLflow refuses; domains may have any.

    Example:
        >>> key("test/Köln (West)/click/auc_roc")
        'test/Köln _West_/click/auc_roc'
    """
    return re.sub(r"[^\w\-. :/]", "_", name)


def parts(each: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many at once as one request takes."""
    for first in range(0, len(each), AT_ONCE):
        yield each[first : first + AT_ONCE]
