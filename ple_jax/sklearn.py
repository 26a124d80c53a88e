"""Estimators of scikit-learn: one or many targets, a task each.

    model = MultiTaskClassifier("mmoe").fit(frame[inputs], frame[["click", "buy"]])
    model.predict_proba(frame[inputs])

They work in a `Pipeline` and in a `GridSearchCV`, and can be pickled. Install the extra
`sklearn`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_array, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from ple_jax import config
from ple_jax.config.experiment import Experiment
from ple_jax.config.values import plain
from ple_jax.data.frames import (
    encode_labelled,
    encode_table,
    fields_of,
    fitted_encoder,
    table_of,
    typed,
    with_labels,
)
from ple_jax.metrics.exact import sigmoid
from ple_jax.runs.defaults import resolved
from ple_jax.schema import Task
from ple_jax.train import in_memory


class MultiTaskEstimator(BaseEstimator):
    """What the classifier and the regressor share: inputs, training, and their knobs.

    Columns of numbers and times are numbers; those of text, categories and truth values
    are ids. A column of objects is of numbers if all its values are, and otherwise of
    text. Values may be missing, and ids may be new after `fit`. What is left open is
    decided by the rules for files: see `encodings` of a `Field`, and `train`.

    Args:
        model: A kind of model, or a dict of its options with a `kind` among them.
        epochs: Passes over the training rows, at most. "auto" is the rule of
            `train.epochs`, and so it is with the next three.
        batch_size: Rows in a step; no more than there are.
        learning_rate: The highest learning rate of the schedule.
        patience: Stops after this many epochs without a better validation loss, and
            keeps the best; 0 never stops.
        validation_fraction: Share of the rows that validation holds; 0 trains on all
            rows, and keeps the last epoch.
        embedding_dim: Width of the embedding of each id.
        encodings: As `encodings` of a schema's field: a column has those that its kind
            knows, and without any `auto`, which for ids may be target means and counts.
        categorical_features: Columns that are ids: "from_dtype" decides as above; names
            or numbers of columns make these ids, and all others numbers.
        weighting: How the losses of the tasks become one: a kind, or a dict.
        inputs: Other knobs of the section `inputs` of an experiment.
        train: Other knobs of the section `train`.
        random_state: Seeds the validation rows, the initial values and the order of
            rows.

    Attributes:
        n_features_in_: Columns that `fit` saw.
        feature_names_in_: Their names, if they had any.
        n_iter_: Epochs that were trained.
        best_epoch_: The one that was kept, counted from 1.
        experiment_: All knobs, resolved.
        encoder_: The schema, and what was fitted to the training rows.
        variables_: The parameters, as NumPy arrays.
    """

    def __init__(
        self,
        model: str | Mapping[str, Any] = "ple",
        *,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        patience: int | str = "auto",
        validation_fraction: float = 0.1,
        embedding_dim: int = 8,
        encodings: str | Sequence[str] = "auto",
        categorical_features: str | Sequence[str | int] = "from_dtype",
        weighting: str | Mapping[str, Any] = "fixed",
        inputs: Mapping[str, Any] | None = None,
        train: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.embedding_dim = embedding_dim
        self.encodings = encodings
        self.categorical_features = categorical_features
        self.weighting = weighting
        self.inputs = inputs
        self.train = train
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags

    def _columns(self, X: Any, reset: bool) -> Any:
        """The checked inputs as an Arrow table."""
        if hasattr(X, "__arrow_c_stream__") and len(X.shape) == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)
            return table_of(X)
        X = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan"
        )
        return table_of({f"x{i}": typed(column) for i, column in enumerate(X.T)})

    def _fit(
        self, table: Any, labels: np.ndarray, tasks: list[Task], weights: np.ndarray
    ) -> Self:
        """Trains on labels (n, T) and weights (n,); rows of weight 0 do not count."""
        fields = fields_of(table, self.categorical_features, self.encodings)
        random = check_random_state(self.random_state)
        rows = random.permutation(np.flatnonzero(weights))
        held = int(np.ceil(len(rows) * self.validation_fraction))
        kept, trained = rows[:held], rows[held:]
        if not len(trained):
            raise ValueError(
                f"Expected rows to train on beside those of validation, got n_samples="
                f"{len(rows)} and validation_fraction={self.validation_fraction}."
            )
        rows_of = lambda numbers: np.isin(np.arange(len(table)), numbers)
        table, schema = with_labels(table, fields, tasks, labels, weights)
        encoder = fitted_encoder(schema, table, rows_of(trained))
        examples = encode_labelled(encoder, table, rows_of(trained), is_train=True)
        validation = None
        if held:
            validation = encode_labelled(encoder, table, rows_of(kept), is_train=False)
        asked = self._experiment(len(trained), tasks, random)
        self.experiment_ = resolved(asked, encoder.layout, len(trained))
        self.encoder_ = encoder.without_folds()
        layout = in_memory.with_spare_rows(encoder.layout)
        self.variables_, self.n_iter_, self.best_epoch_ = in_memory.fit(
            self.experiment_, layout, examples, validation
        )
        return self

    def _experiment(
        self, rows: int, tasks: list[Task], random: np.random.RandomState
    ) -> Experiment:
        """All knobs, for so many training rows; some may be `auto`."""
        binary, size = tasks[0].is_binary, self.batch_size
        kind = lambda given: {"kind": given} if isinstance(given, str) else dict(given)
        train = {
            "epochs": self.epochs,
            "batch_size": size if size == "auto" else min(int(size), rows),
            "learning_rate": self.learning_rate,
            "patience": self.patience,
            "metric": "log_loss" if binary else "rmse",
            "devices": 1,
            "data_on": "host",
            "seed": int(random.randint(2**31)),
        }
        tree = {
            "model": kind(self.model),
            "weighting": kind(self.weighting),
            "inputs": {"embedding_dim": self.embedding_dim, **(self.inputs or {})},
            "train": {**train, **(self.train or {})},
        }
        return config.from_dict(plain(tree))

    def _logits(self, X: Any) -> np.ndarray:  # (n, T) float64
        check_is_fitted(self)
        names = [field.name for field in self.encoder_.schema.fields]
        table = self._columns(X, reset=False).rename_columns(names)
        examples = encode_table(self.encoder_, table)
        layout = in_memory.with_spare_rows(self.encoder_.layout)
        logits = in_memory.logits_of(
            self.experiment_, layout, self.variables_, examples
        )
        return logits.astype(np.float64)


class MultiTaskClassifier(ClassifierMixin, MultiTaskEstimator):
    """Predicts the classes of one or many targets.

    A target of two classes is one task. A target of more classes has a task for each,
    whose probabilities are scaled to the sum 1. `MultiTaskEstimator` explains the
    arguments.

    Attributes:
        classes_: The classes, ascending; with many targets, a list of them.
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on rows X (n, columns) and classes y (n,) or (n, targets).

        Raises:
            ValueError: A value cannot be read, or a target has one class only.
        """
        table = self._columns(X, reset=True)
        y, weights = _checked(table, y, sample_weight)
        classes, labels, tasks = [], [], []
        for i, column in enumerate(y.T):
            check_classification_targets(column)
            known, codes = np.unique(column, return_inverse=True)
            if (found := len(np.unique(codes[weights > 0]))) < 2:
                raise ValueError(
                    f"Target {i} needs at least 2 classes in rows with weight, got "
                    f"{found} class."
                )
            own = range(len(known) == 2, len(known))  # the second of two is enough
            tasks += [Task(f"target {i}: {known[k]}") for k in own]
            labels += [codes == k for k in own]
            classes.append(known)
        self._fit(table, np.stack(labels, axis=1), tasks, weights)
        self.classes_ = classes if len(classes) > 1 else classes[0]
        return self

    def predict_proba(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """The probability of each class (n, classes); a list for many targets."""
        each = [p for _, p in self._probabilities(X)]
        return each if len(each) > 1 else each[0]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class: (n,), or (n, targets) for many targets."""
        each = [c[p.argmax(axis=1)] for c, p in self._probabilities(X)]
        return np.stack(each, axis=1) if len(each) > 1 else each[0]

    def _probabilities(self, X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        """The classes of each target, and their probabilities (n, classes)."""
        tasks, known = sigmoid(self._logits(X)), self.classes_
        each: list[tuple[np.ndarray, np.ndarray]] = []
        for classes in known if isinstance(known, list) else [known]:
            width = len(classes) if len(classes) > 2 else 1
            own, tasks = tasks[:, :width], tasks[:, width:]
            if width == 1:
                own = np.concatenate([1 - own, own], axis=1)
            each.append((classes, own / own.sum(axis=1, keepdims=True)))
        return each

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows for which the classes of all targets are right."""
        predicted = self.predict(X)
        right = predicted == np.asarray(y).reshape(predicted.shape)
        right = right.reshape(len(right), -1).all(axis=1)
        return float(np.average(right, weights=sample_weight))


class MultiTaskRegressor(RegressorMixin, MultiTaskEstimator):
    """Predicts the numbers of one or many targets.

    Each target is a task with a squared loss, in units of its standard deviation.
    `MultiTaskEstimator` explains the arguments.

    Attributes:
        target_means_: The mean of each target (targets,).
        target_deviations_: The standard deviation of each target; 1 for a constant.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains on rows X (n, columns) and numbers y (n,) or (n, targets).

        Raises:
            ValueError: A value cannot be read.
        """
        table = self._columns(X, reset=True)
        y, weights = _checked(table, y, sample_weight, dtype=np.float64)
        self.target_means_ = y.mean(axis=0)
        deviations = y.std(axis=0)
        self.target_deviations_ = np.where(deviations > 0, deviations, 1.0)
        # Not by `Layout.scales`: a program is compiled anew for each layout.
        labels = (y - self.target_means_) / self.target_deviations_
        tasks = [Task(f"target {i}", loss="squared") for i in range(y.shape[1])]
        return self._fit(table, labels, tasks, weights)

    def predict(self, X: Any) -> np.ndarray:
        """The numbers: (n,), or (n, targets) for many targets."""
        y = self._logits(X) * self.target_deviations_ + self.target_means_
        return y if y.shape[1] > 1 else y[:, 0]


def _checked(
    table: Any, y: Any, sample_weight: Any, dtype: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, targets) and weights (n,) for the rows of a table."""
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    y = check_array(y, ensure_2d=False, dtype=dtype, input_name="y")
    check_consistent_length(table, y)
    weights = _check_sample_weight(sample_weight, table, ensure_non_negative=True)
    return y.reshape(len(y), -1), weights
