"""What the columns of a data set mean: frozen plain data, checked on creation."""

import dataclasses
from typing import Literal, get_args

from ple_jax.checks import check_encoding, check_known, check_unique
from ple_jax.derived import FILE, Derived, check_derived, check_kind, raw_columns
from ple_jax.splits import Split
from ple_jax.tasks import Task

OWN = "own"  # as `unseen_domain`: adds a domain, which no value names
FieldKind = Literal["categorical", "numeric", "multi_valued", "sequence"]
OfNumbers = Literal["auto", "standard", "log", "buckets", "piecewise"]
OfValues = Literal["auto", "id", "rare", "count", "target_mean"]
Encoding = Literal[OfNumbers, OfValues]
# The most that a field may ask for; more would not fit into memory, or mean nothing.
MOST = {
    "bins": 100_000,
    "max_length": 100_000,
    "min_count": 1_000_000_000,
    "dim": 100_000,
}


@dataclasses.dataclass(frozen=True)
class Field:
    """An input column.

    Attributes:
        name: Name of the column in the files.
        kind: How to read its values.
        encodings: For a numeric field, any of `standard` (z-score), `log` (z-score of
            sign(x) log(1 + |x|)), `buckets` (embedded quantile buckets, with one for
            zero alone) and `piecewise` (piecewise-linear, Gorishniy et al., NeurIPS
            2022); `auto` chooses. For any other field, `id` (embedded, one row for each
            value) or `rare` (the same, but all values below `min_count`, and those that
            train lacks, share one row of their own, not that of missing ones), and the
            numbers `count` (how often the value occurs in train) and `target_mean`
            (the mean label of each task, shrunk and out of fold); `auto` is `id` for
            lists and for fewer than 10 values, and otherwise `count` and `target_mean`,
            with `id` where a value has 30 rows of train on average.
        bins: For a numeric field, the most quantile bins that `buckets` and `piecewise`
            may use.
        separator: For a multi-valued or sequence field, the text between two values.
        max_length: How many values to keep: the first ones of a multi-valued field, the
            last ones of a sequence.
        min_count: Values that occur less often in train become unknown (id 0), or rare.
        table: Name of another field, whose vocabulary and table this one shares.
        dim: Width of the embedding; None takes that of the experiment.

    `bins`, `max_length`, `min_count` and `dim` are at least 1 and at most `MOST`.
    """

    name: str
    kind: FieldKind = "categorical"
    encodings: tuple[Encoding, ...] = ("auto",)
    bins: int = 256
    separator: str = "|"
    max_length: int = 20
    min_count: int = 1
    table: str | None = None
    dim: int | None = None

    def __post_init__(self):
        if not self.separator:
            raise ValueError(f"separator of field {self.name!r} must not be empty.")
        for key, most in MOST.items():
            value = getattr(self, key)
            if value is not None and not 1 <= value <= most:
                raise ValueError(
                    f"{key} of field {self.name!r} must be from 1 to {most:,}, got "
                    f"{value:,}."
                )
        self._check_encodings()

    def _check_encodings(self):
        numeric = self.kind == "numeric"
        for encoding in self.encodings:
            known = get_args(OfNumbers if numeric else OfValues)
            check_known(encoding, known, f"encoding of a {self.kind} field")
        beside = len(self.encodings) > 1 and not numeric
        rare_alone = "rare" in self.encodings and self.min_count < 2
        wrong = {
            "no encodings": not self.encodings,
            "`auto` beside others": beside and "auto" in self.encodings,
            "both `id` and `rare`": {"id", "rare"} <= set(self.encodings),
            "`rare` without a `min_count` of at least 2": rare_alone,
        }
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise ValueError(
                    f"Field {self.name!r} cannot have {what}, got encodings = "
                    f"{list(self.encodings)}."
                )


@dataclasses.dataclass(frozen=True)
class Format:
    """How text files are written. Parquet files use `strip` and `missing` only.

    Attributes:
        delimiter: The character between columns.
        header: Whether the first line names the columns; if not, `columns` does.
        columns: Names of the columns of files without a header.
        strip: Whether to strip spaces around values.
        missing: Values that mean "not known"; the empty value always does.
        line_breaks: Whether a value in quotes may hold line breaks. If not, one that
            does is an error, since a stray quote would swallow the rows up to the next.
        encoding: The encoding, such as `latin-1` or `cp1252`. Where a file begins with
            a byte order mark, as UTF-16 usually does, that says more.
    """

    delimiter: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    strip: bool = True
    missing: tuple[str, ...] = ()
    line_breaks: bool = False
    encoding: str = "utf-8"

    def __post_init__(self):
        check_encoding(self.encoding)
        one = len(self.delimiter) == 1 and self.delimiter.isascii()
        if not one or self.delimiter in '\r\n"':
            raise ValueError(
                "format.delimiter must be one ASCII character, no quote or line break, "
                f"got {self.delimiter!r}."
            )
        if not self.header and not self.columns:
            raise ValueError("format.header = false needs format.columns, got none.")


@dataclasses.dataclass(frozen=True)
class Schema:
    """The fields, tasks and domains of a data set, in the order of their axes.

    Attributes:
        fields: The inputs.
        tasks: The labels.
        split: How examples are divided.
        format: How text files are written.
        domain: Column that holds each example's domain, or "@file", for which each file
            is a domain; without one, all rows are of one domain.
        unseen_domain: The domain to use for missing ones, and for those that train
            lacks; "own" adds one of that name for them. Without it they are an error.
        user: Column that groups examples for grouped AUC.
        weight: Column of example weights.
        keys: Columns that identify a row: `predict` copies them in front of the scores,
            and `ple-jax rows` shows them.
        ignored: Columns to ignore; "*" ignores all that the schema does not name.
        leaking: Columns that reveal the label; using one as a field, or as the domain,
            user or weight, is an error.
        unknown_warning: When rows are scored, a field warns if more than this share of
            its values, in [0, 1], does not occur in train.
        derived: Columns that are computed from others, each used as any column is.

    Example:
        >>> Schema(
        ...     fields=(Field("shop"), Field("price", "numeric")),
        ...     tasks=(Task("click"), Task("buy", given="clik")),
        ... )
        Traceback (most recent call last):
        ValueError: Task 'buy' is given 'clik', which must be one of ...
    """

    fields: tuple[Field, ...]
    tasks: tuple[Task, ...]
    split: Split = Split()
    format: Format = Format()
    domain: str | None = None
    unseen_domain: str | None = None
    user: str | None = None
    weight: str | None = None
    keys: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    leaking: tuple[str, ...] = ()
    unknown_warning: float = 0.1
    derived: tuple[Derived, ...] = ()

    def __post_init__(self):
        check_unique([f.name for f in self.fields], "field")
        check_unique([t.name for t in self.tasks], "task")
        if not self.fields or not self.tasks:
            raise ValueError(
                "A schema needs at least one field and one task, got "
                f"{len(self.fields)} and {len(self.tasks)}."
            )
        if not 0 <= self.unknown_warning <= 1:
            raise ValueError(
                f"unknown_warning must be in [0, 1], got {self.unknown_warning}."
            )
        self._check_fields()
        self._check_tasks()
        self._check_columns()
        self._check_derived()

    def columns(self, labels: bool = True) -> list[str]:
        """The columns that training needs, or without `labels` scoring."""
        names = [field.name for field in self.fields]
        names += [self.domain] if self.domain else []
        if labels:
            names += [task.label_column for task in self.tasks]
            named = self.user, self.weight, self.split.column, self.split.group
            names += [name for name in (*named, *self.keys) if name]
        return list(dict.fromkeys(names))

    def raw_columns(self, labels: bool = True) -> list[str]:
        """The columns that a file must have: to train, or without `labels` to score."""
        return raw_columns(self.columns(labels), self.derived)

    def _check_fields(self):
        by_name = {f.name: f for f in self.fields}
        for field in self.fields:
            self._check_no_leak(field.name, "a field")
            if field.name in self.ignored:
                raise ValueError(f"Column {field.name!r} is both a field and ignored.")
            if field.table is not None:
                check_known(field.table, by_name, f"field for {field.name!r} to share")
                owner = by_name[field.table]
                if owner.kind == "numeric" or owner.table is not None:
                    raise ValueError(
                        f"Field {field.name!r} cannot share the table of "
                        f"{field.table!r}, which has no table of its own."
                    )
                if "rare" in field.encodings:
                    raise ValueError(
                        f"Field {field.name!r} shares the table of {field.table!r}: "
                        f"set `rare` and `min_count` there."
                    )

    def _check_tasks(self):
        for i, task in enumerate(self.tasks):
            earlier = [t.name for t in self.tasks[:i] if t.is_binary]
            if task.given is not None and task.given not in earlier:
                raise ValueError(
                    f"Task {task.name!r} is given {task.given!r}, which must be one of "
                    f"the binary tasks before it: {earlier}."
                )

    def _check_columns(self):
        for role in ("domain", "user", "weight"):
            self._check_no_leak(getattr(self, role), f"the {role} column")
        if self.unseen_domain and not self.domain:
            raise ValueError("unseen_domain needs a `domain`: the column of domains.")
        check_unique(self.keys, "column of `keys`")
        self._check_no_leak(self.split.group, "the column of groups (split.group)")
        known = [task.name for task in self.tasks if task.is_binary]
        known += [self.domain] if self.domain else []
        for name in self.split.strata:
            check_known(name, known, "binary task or column of domains (stratify)")

    def _check_derived(self):
        check_unique([FILE, *(c.name for c in self.derived)], "derived column")
        check_derived(self.derived, self.columns())
        kinds = {field.name: field.kind for field in self.fields}
        for column in self.derived:
            self._check_no_label(column.name, "derived")
            for name in column.of:
                role = f"an input of derived column {column.name!r}"
                self._check_no_leak(name, role)
                if name in self.ignored:
                    raise ValueError(f"Column {name!r} is both {role} and ignored.")
            if column.name in kinds:
                check_kind(column, kinds[column.name])

    def _check_no_leak(self, column, role):
        if column in self.leaking:
            raise ValueError(
                f"Column {column!r} is declared as leaking the label, so it cannot be "
                f"{role}."
            )
        self._check_no_label(column, role)

    def _check_no_label(self, column, role):
        for task in self.tasks:
            if task.label_column == column:
                raise ValueError(
                    f"Column {column!r} is the label of task {task.name!r}, so it "
                    f"cannot be {role} too."
                )
