"""KuaiRand: short videos shown in the Kuaishou app, with twelve kinds of feedback.

Reads the logs (`log_standard_*.csv`), alone or joined with the user and video features
of the data set. Tested only on a joined sample of 200 rows without dates, since the
full data were not available.

Source: Gao et al., CIKM 2022; kuairand.com.
Terms: CC BY-SA 4.0; cite the authors.
"""

import dataclasses
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from ple_jax.checks import check_known
from ple_jax.data.files import file_identity, find_files
from ple_jax.data.read import read
from ple_jax.data.rows import Rows
from ple_jax.data.source import Chunk, Chunks, Source
from ple_jax.data.split import split_names
from ple_jax.schema import Field, Format, Schema, Split, Task

HOW = "Download it from kuairand.com or zenodo.org/records/10439422."
TERMS = "CC BY-SA 4.0; cite Gao et al., CIKM 2022"
FEEDBACK = """
    is_click long_view is_like is_follow is_comment is_forward is_hate is_profile_enter
""".split()
LEAKING = (*FEEDBACK, "play_time_ms", "profile_stay_time", "comment_stay_time")
CATEGORICAL = [
    *"user_id video_id tab user_active_degree is_lowactive_period".split(),
    *"is_live_streamer is_video_author video_type visible_status".split(),
    *"follow_user_num_range fans_user_num_range friend_user_num_range".split(),
    *"register_days_range author_id music_id tag upload_type music_type".split(),
    *(f"onehot_feat{i}" for i in range(18)),
]
NUMERIC = """
    hourmin duration_ms follow_user_num fans_user_num friend_user_num register_days
    server_width server_height
""".split()


def build(
    files: tuple[str, ...] = ("log_standard_4_22_to_5_08_1k.csv",),
    tasks: tuple[str, ...] = ("is_click", "long_view", "is_like"),
    tabs: tuple[str, ...] = ("0", "1", "2", "4", "6"),
    split: Literal["date", "random"] = "date",
    validation_from: int = 20220505,
    test_from: int = 20220507,
    min_count: int = 2,
    data_dir: str | None = None,
) -> Source:
    """Predicts a user's feedback on videos; the domain is the tab of the app.

    Features are the columns of the files that are known before the video plays.

    Args:
        files: Logs of KuaiRand-Pure, -1K or -27K, all with the same columns.
        tasks: Any of is_click, long_view, is_like, is_follow, is_comment, is_forward,
            is_hate and is_profile_enter.
        tabs: Tabs of the app to keep, out of 0 to 14.
        split: `date` splits by date; `random` is for files without dates.
        validation_from: First date of validation, written as 20220505.
        test_from: First date of test.
        min_count: Users, videos and other values that occur less often in train become
            unknown, as are those that train lacks.
        data_dir: The folder that holds the files.

    Reference: Gao et al., CIKM 2022; tabs and files as in Scenario-Wise Rec.
    Differs from the paper: the paper proposes no such tasks; the split is ours.
    """
    for task in tasks:
        check_known(task, FEEDBACK, "feedback of KuaiRand")
    paths = find_files("kuairand", files, data_dir, HOW)
    by = Split(by="column", column="split") if split == "date" else Split()
    schema = make_schema(_fields_in(paths[0], min_count), tasks, by)
    # The column of the split is not in the files, nor must all that leak be.
    raw = dataclasses.replace(schema, split=Split(), leaking=())
    starts = [validation_from, test_from]

    def chunks() -> Chunks:
        for chunk in read(paths, raw):
            if split == "date":
                chunk = _with_split(chunk, starts)
            table = chunk.table.filter(pc.is_in(chunk.table["tab"], pa.array(tabs)))
            if len(table):
                yield chunk._replace(table=table, origin=f"{chunk.origin} (tabs kept)")

    identity = {"kind": "kuairand", "tabs": list(tabs), "starts": starts}
    identity["files"] = [file_identity(path) for path in paths]
    return Source(schema, chunks, identity, TERMS)


def make_schema(
    fields: tuple[Field, ...], tasks: tuple[str, ...], split: Split
) -> Schema:
    """Describes the columns."""
    return Schema(
        fields=fields,
        tasks=tuple(Task(name) for name in tasks),
        split=split,
        domain="tab",
        user="user_id",
        ignored=("*",),
        leaking=LEAKING,
    )


def _fields_in(path, min_count: int) -> tuple[Field, ...]:
    """The features among a file's columns."""
    least = Schema((Field("user_id"),), (Task("is_click"),), ignored=("*",))
    columns = next(read([path], least)).table.column_names
    return (
        *(Field(name, min_count=min_count) for name in CATEGORICAL if name in columns),
        *(Field(name, "numeric") for name in NUMERIC if name in columns),
    )


def _with_split(chunk: Chunk, starts: list[int]) -> Chunk:
    if "date" not in chunk.table.column_names:
        raise ValueError(
            f"{chunk.origin} has no column 'date', which data.split = 'date' needs. "
            "Expected that column, or data.split = 'random'."
        )
    date = Rows(chunk, Format()).times("date").values
    return chunk.with_columns(split=split_names(date, starts))


def describe() -> dict[str, Any]:
    """What `ple-jax datasets` shows about it."""
    return {
        "summary": "KuaiRand: feedback on videos by tab; tested on a sample only",
        "tasks": {name: None for name in FEEDBACK},
        "source": "your copy of log_standard_*.csv",
        "terms": TERMS,
    }
