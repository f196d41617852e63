"""How the columns of a table become features: fitted on training rows, applied to any others.

A `Column` is plain data: it goes into the file of an exported network as JSON, and nothing is
unpickled to apply it. Errors name the column and the row (1 is the first row of data) but not the
file: the code that reads the file adds its name. Pandas and scikit-learn are imported inside the
functions, so that importing this module stays fast.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.cells import (
    as_dates,
    as_numbers,
    check_complete,
    is_number,
    known_words,
    missing,
    plain_values,
    strangest,
)

if TYPE_CHECKING:
    import pandas as pd

FLOAT32_MAX = np.float64(np.finfo(np.float32).max)
MISSING, OTHERS = "(missing)", "(others)"  # categories that are no word of the table
FOLDS = 5  # of the training rows, for means of the target
RARE = 5  # training rows; words with fewer share a feature
TEXT_FEATURES = 100  # of a column of free text

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Column(ABC):
    """A column of a table and what its cells become: (rows, features) float64."""

    name: str
    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def fitted(
        cls, name: str, values: pd.Series[Any], y: NDArray[Any], classes: Sequence[str]
    ) -> tuple[Self, Features]:
        """Return the column as the training rows have it, and their features.

        y: class indices (n,), several labels (n, k), or numbers (n, k), of which `classes` is ().
        """

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """A name for each feature."""

    @abstractmethod
    def encode(self, values: pd.Series[Any]) -> Features:
        """Return the features of the cells; raises ValueError for one that has none."""

    @property
    def is_text(self) -> bool:
        """Whether its cells are words, even those that spell numbers."""
        return False

    @property
    def is_early(self) -> bool:
        """Whether it is a column as version 0.1 has it, where only an empty cell is missing."""
        return False

    def unknown(self, values: pd.Series[Any]) -> tuple[int, str] | None:  # noqa: ARG002
        """Return the row, from 0, and the word of the first cell that training did not know."""
        return None

    def absent_rows(self, values: pd.Series[Any]) -> NDArray[np.intp]:  # noqa: ARG002
        """Return the rows, from 0, whose cells have no value although those of training had one."""
        return np.empty(0, np.intp)

    @property
    def instead(self) -> str:
        """What a cell without a value counts as."""
        return "none of the known words"

    def as_plain(self) -> Any:
        """Return the column as plain data for JSON, which `from_plain` reads."""
        fields = asdict(self).items()
        return {"kind": self.kind} | {
            key: [*value] if isinstance(value, tuple) else value for key, value in fields
        }

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the column that `as_plain` has written."""
        tuples = {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
        return cls(**{**plain, **tuples})


@dataclass(frozen=True)
class Numbers(Column):
    """Numbers; a missing one counts as `fill`.

    fill: the median of the training rows; None: a missing cell is refused. indicator: whether
    another feature says that the cell is missing, as it does if a training row has such a cell.
    """

    kind: ClassVar[str] = "numbers"
    fill: float | None = None
    indicator: bool = False

    @classmethod
    def fitted(
        cls,
        name: str,
        values: pd.Series[Any],
        y: NDArray[Any],  # noqa: ARG003
        classes: Sequence[str],  # noqa: ARG003
    ) -> tuple[Self, Features]:
        numbers = as_numbers(values).to_numpy(np.float64)
        known = numbers[~np.isnan(numbers)]
        fill = float(np.median(known)) if len(known) else 0.0
        column = cls(name, fill, indicator=len(known) < len(numbers))
        return column, column._features(numbers)

    @property
    def is_early(self) -> bool:
        return self.fill is None

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}={MISSING}") if self.indicator else (self.name,)

    def encode(self, values: pd.Series[Any]) -> Features:
        return self._features(self._numbers(values))

    def absent_rows(self, values: pd.Series[Any]) -> NDArray[np.intp]:
        if self.indicator:
            return np.empty(0, np.intp)
        return np.flatnonzero(np.isnan(as_numbers(values).to_numpy(np.float64)))

    @property
    def instead(self) -> str:
        return f"{self.fill:g}, the median"

    def _numbers(self, values: pd.Series[Any]) -> NDArray[np.float64]:
        if self.fill is not None:
            return as_numbers(values).to_numpy(np.float64)
        values = plain_values(values)
        check_complete(values, f"column {self.name!r}")
        if not is_number(values):
            words = list(map(str, values))
            row = strangest(words)
            what = f"must hold numbers, not {words[row]!r} in row {row + 1}"
            raise ValueError(f"column {self.name!r} {what}")
        return values.to_numpy(np.float64, na_value=np.nan)

    def _features(self, numbers: NDArray[np.float64]) -> Features:
        absent = np.isnan(numbers)
        filled = numbers if self.fill is None else np.where(absent, self.fill, numbers)
        return np.column_stack([filled, absent] if self.indicator else [filled])


@dataclass(frozen=True)
class Words(Column):
    """Words, one feature for each of the `categories`.

    others: whether one more feature stands for rare words and those that training did not know;
    without it these have no feature. absent: whether one more stands for a missing word; without
    it a missing word is refused in the tables of version 0.1, and has no feature in others.
    """

    kind: ClassVar[str] = "words"
    categories: tuple[str, ...]
    others: bool = False
    absent: bool = False
    strict: bool = True

    @classmethod
    def fitted(
        cls,
        name: str,
        values: pd.Series[Any],
        y: NDArray[Any],  # noqa: ARG003
        classes: Sequence[str],  # noqa: ARG003
    ) -> tuple[Self, Features]:
        words = _words(values)
        counts = words.value_counts()
        rare = counts.index[counts < RARE]
        known = sorted(counts.index.difference(rare) if len(rare) > 1 else counts.index)
        absent = bool(words.isna().any())
        column = cls(name, tuple(known), others=len(rare) > 1, absent=absent, strict=False)
        return column, column._one_hot(words.tolist())

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}={category}" for category in self._all)

    @property
    def is_early(self) -> bool:
        return self.strict

    @property
    def _all(self) -> tuple[str, ...]:
        more = [OTHERS] * self.others + [MISSING] * self.absent
        return (*self.categories, *more)

    @property
    def is_text(self) -> bool:
        return True

    def encode(self, values: pd.Series[Any]) -> Features:
        return self._one_hot(self._known(values))

    def _known(self, values: pd.Series[Any]) -> list[str | None]:
        return known_words(self.name, values, self.categories, complete=self.strict)

    def _one_hot(self, words: Sequence[object]) -> Features:
        place = {category: n for n, category in enumerate(self.categories)}
        others = len(place) if self.others else -1
        absent = len(place) + self.others if self.absent else -1
        found = [absent if _is_missing(word) else place.get(str(word), others) for word in words]
        which = np.array(found, np.intp)
        features = np.zeros((len(words), len(self._all)))
        rows = np.flatnonzero(which >= 0)
        features[rows, which[rows]] = 1.0
        return features

    def absent_rows(self, values: pd.Series[Any]) -> NDArray[np.intp]:
        gaps = () if self.absent else plain_values(values).isna().to_numpy()
        return np.flatnonzero(gaps)

    def unknown(self, values: pd.Series[Any]) -> tuple[int, str] | None:
        return None if self.others else _first_unknown(self._known(values), {*self.categories})


@dataclass(frozen=True)
class Means(Column):
    """Words with many values, each as the mean of the target over its training rows, smoothed.

    That is scikit-learn's TargetEncoder (Micci-Barreca, 2001): a mean is drawn towards the mean of
    all rows, the more so the fewer rows the word has. The training rows themselves have means over
    other rows (in FOLDS folds), so that a word with one row does not give its label away. There is
    a feature for each class of more than two, and for each target.
    """

    kind: ClassVar[str] = "means"
    labels: tuple[str, ...]  # of the features; ("",) for one
    means: Mapping[str, Sequence[float]]
    otherwise: tuple[float, ...]  # for a word that training did not know

    @classmethod
    def fitted(
        cls, name: str, values: pd.Series[Any], y: NDArray[Any], classes: Sequence[str]
    ) -> tuple[Self, Features]:
        from sklearn.model_selection import KFold, StratifiedKFold
        from sklearn.preprocessing import TargetEncoder

        words = _words(values).fillna(MISSING).to_numpy(object)[:, None]
        one = y.ndim == 1  # the classes of one target
        targets = [y] if one else list(y.T)
        kind = "multiclass" if one and len(classes) > 2 else "binary" if classes else "continuous"
        split = (StratifiedKFold if one else KFold)(FOLDS, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a class with fewer rows than folds
            folds = [*split.split(words, y if one else None)]
        parts, tables, others = [], [], []
        for target in targets:
            encoder = TargetEncoder(target_type=kind)
            width = len(classes) if kind == "multiclass" else 1
            part = np.zeros((len(words), width))
            for fitted, held_out in folds:
                encoder.fit(words[fitted], target[fitted])
                columns = encoder.classes_ if width > 1 else [0]
                part[np.ix_(held_out, columns)] = encoder.transform(words[held_out])
            parts.append(part)
            encoder.fit(words, target)
            known = encoder.categories_[0].tolist()
            tables.append(np.column_stack(encoder.encodings_))
            others.append(np.atleast_1d(encoder.target_mean_))
        table = np.column_stack(tables)
        labels = tuple(classes) if kind == "multiclass" else ("",)
        if len(targets) > 1:
            labels = tuple(classes) or tuple(map(str, range(len(targets))))
        means = {word: tuple(row) for word, row in zip(known, table.tolist(), strict=True)}
        otherwise = tuple(np.concatenate(others).tolist())
        return cls(name, labels, means, otherwise), np.column_stack(parts)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(
            f"mean target of {self.name}" + (f"={each}" if each else "") for each in self.labels
        )

    @property
    def is_text(self) -> bool:
        return True

    def encode(self, values: pd.Series[Any]) -> Features:
        words = self._known(values)
        found = [self.means.get(word or MISSING, self.otherwise) for word in words]
        return np.array(found, np.float64).reshape(len(words), -1)

    def _known(self, values: pd.Series[Any]) -> list[str | None]:
        return known_words(self.name, values, [*self.means], complete=False)

    def unknown(self, values: pd.Series[Any]) -> tuple[int, str] | None:
        return _first_unknown(self._known(values), self.means)


@dataclass(frozen=True)
class Dates(Column):
    """Dates and times: year, month, day of the week from 0 on Monday, days since 1970, the hour.

    fills: what stands for each part of a missing date, the medians of the training rows. hours:
    whether there are times of the day. day_first: whether 1/2/2024 is a day in February.
    """

    kind: ClassVar[str] = "dates"
    fills: tuple[float, ...]
    hours: bool = False
    indicator: bool = False
    day_first: bool = False

    @classmethod
    def fitted(
        cls,
        name: str,
        values: pd.Series[Any],
        y: NDArray[Any],  # noqa: ARG003
        classes: Sequence[str],  # noqa: ARG003
    ) -> tuple[Self, Features]:
        dates, day_first = as_dates(values)
        known = dates.dropna()
        hours = bool((known != known.dt.normalize()).any())
        indicator = len(known) < len(dates)
        parts = _date_parts(known, hours=hours)
        fills = tuple(np.median(parts, axis=0).tolist())
        column = cls(name, fills, hours, indicator, day_first)
        return column, column._features(dates)

    @property
    def feature_names(self) -> tuple[str, ...]:
        parts = ["year", "month", "weekday", "days", *["hour"] * self.hours]
        names = [f"{self.name}.{part}" for part in parts]
        return (*names, f"{self.name}={MISSING}") if self.indicator else tuple(names)

    def encode(self, values: pd.Series[Any]) -> Features:
        dates, _ = as_dates(values, day_first=self.day_first)
        odd = np.flatnonzero(dates.isna().to_numpy() & plain_values(values).notna().to_numpy())
        if len(odd):
            cell = values.iloc[odd[0]]
            what = f"must hold dates, not {str(cell)!r} in row {odd[0] + 1}"
            raise ValueError(f"column {self.name!r} {what}")
        return self._features(dates)

    def _features(self, dates: pd.Series[Any]) -> Features:
        absent = dates.isna().to_numpy()
        parts = np.tile(np.array(self.fills), (len(dates), 1))
        parts[~absent] = _date_parts(dates[~absent], hours=self.hours)
        return np.column_stack([parts, absent]) if self.indicator else parts


@dataclass(frozen=True)
class Text(Column):
    """Free text, as the weights of its most frequent words (tf-idf, as in scikit-learn)."""

    kind: ClassVar[str] = "text"
    vocabulary: tuple[str, ...]
    idf: tuple[float, ...]

    @classmethod
    def fitted(
        cls,
        name: str,
        values: pd.Series[Any],
        y: NDArray[Any],  # noqa: ARG003
        classes: Sequence[str],  # noqa: ARG003
    ) -> tuple[Self, Features]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(max_features=TEXT_FEATURES, stop_words="english", min_df=2)
        try:
            x = vectorizer.fit_transform(_words(values).fillna(""))
        except ValueError as error:
            raise ValueError(
                f"column {name!r} has no word that occurs twice; leave it out: drop = [{name!r}]"
            ) from error
        words = tuple(map(str, vectorizer.get_feature_names_out()))
        return cls(name, words, tuple(vectorizer.idf_.tolist())), x.toarray()

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}:{word}" for word in self.vocabulary)

    @property
    def is_text(self) -> bool:
        return True

    def encode(self, values: pd.Series[Any]) -> Features:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(vocabulary=self.vocabulary)
        vectorizer.idf_ = np.array(self.idf)
        features: Features = vectorizer.transform(_words(values).fillna("")).toarray()
        return features


KINDS: dict[str, type[Column]] = {each.kind: each for each in (Numbers, Words, Means, Dates, Text)}


def as_plain(columns: Sequence[Column]) -> tuple[Any, ...]:
    """Return columns as plain data for JSON, which `from_plain` reads."""
    return tuple(column.as_plain() for column in columns)


def from_plain(columns: Sequence[Any]) -> tuple[Column, ...]:
    """Return the columns of plain data: as `as_plain` writes them, or [name, categories] of 0.1."""
    return tuple(
        _of_mapping(plain) if isinstance(plain, Mapping) else early_column(*plain)
        for plain in columns
    )


def _of_mapping(plain: Mapping[str, Any]) -> Column:
    return KINDS[plain["kind"]].of_plain({k: v for k, v in plain.items() if k != "kind"})


def early_column(name: str, categories: Sequence[str]) -> Column:
    """Return a column as version 0.1 has it: complete numbers, or words that it lists."""
    return Words(name, tuple(categories)) if categories else Numbers(name)


def encode(frame: pd.DataFrame, columns: Sequence[Column]) -> Features:
    """Return the columns of `frame` as finite features (n, d)."""
    x = np.concatenate([column.encode(frame[column.name]) for column in columns], axis=1)
    check_finite(x, [name for column in columns for name in column.feature_names])
    return x


def check_finite(x: NDArray[Any], names: Sequence[str]) -> None:
    """Refuse x (n, d) if a value is missing, infinite or too large for float32."""
    if not x.size:
        return
    if x.min() >= -FLOAT32_MAX and x.max() <= FLOAT32_MAX:  # makes no copy of x; false for NaN
        return
    row, column = np.argwhere(~(np.abs(x) <= FLOAT32_MAX))[0]
    if np.isnan(x[row, column]):
        raise ValueError(missing(f"column {names[column]!r}", row + 1))
    raise ValueError(
        f"column {names[column]!r} is {x[row, column]} in row {row + 1}; "
        "features must be finite and within float32"
    )


def _words(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the cells as words, and None where there is none."""
    return plain_values(values).map(str, na_action="ignore")


def _first_unknown(words: Sequence[str | None], known: Container[str]) -> tuple[int, str] | None:
    return next(
        ((row, word) for row, word in enumerate(words) if word is not None and word not in known),
        None,
    )


def _is_missing(word: object) -> bool:
    return word is None or (isinstance(word, float) and np.isnan(word))


def _date_parts(dates: pd.Series[Any], *, hours: bool) -> Features:
    import pandas as pd

    at = dates.dt
    days = (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)
    parts = [at.year, at.month, at.day_of_week, days, *[at.hour] * hours]
    return np.column_stack([part.to_numpy(np.float64) for part in parts])
