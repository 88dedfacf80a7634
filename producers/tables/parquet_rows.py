"""Parquet read row by row, without pandas: instants become milliseconds since 1970 or text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sightline.engine.regular_files import open_binary
from sightline.producers.tables.columns import Columns, ColumnsInvalid
from sightline.producers.tables.row import TableInvalid, TableRow

_BATCH_ROWS = 500
_MAX_CELL_BYTES = 131_072
"""A larger text is nobody's path, tag or note, and a file of 500 bytes may hold thousands of them,
each of a gigabyte."""
_MAX_ITEMS = 1_024
"""A cell may hold a list of so many."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MAX_NESTING = 32


def read_parquet(file: Path, columns: Columns) -> Iterator[TableRow]:
    """Every row; columns that are passed over are not read.

    Raises:
        TableInvalid: no pyarrow, no Parquet, columns that cannot be placed or are of a type that
            no column of ours has.
        OSError: the file cannot be read.
    """
    try:
        # pyarrow is 40 MB that a service which only publishes can do without.
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise TableInvalid(
            f"{file}: Parquet needs pyarrow: install it, or give the file in another format"
        ) from error
    try:
        # Texts as dictionaries: what stands there a thousand times is held once until then.
        with open_binary(file) as raw, parquet.ParquetFile(pa.PythonFile(raw)) as looked_at:
            texts = [one.name for one in looked_at.schema_arrow if pa.types.is_string(one.type)]
            with parquet.ParquetFile(pa.PythonFile(raw), read_dictionary=texts) as opened:
                yield from _rows(pa, opened, columns)
    except MemoryError as error:
        raise TableInvalid(f"{file}: its cells are larger than this machine's memory") from error
    # pyarrow raises ValueError, KeyError and its own errors for what cannot be a Python value.
    except (pa.ArrowException, ValueError, KeyError, NotImplementedError, RecursionError) as error:
        raise TableInvalid(f"{file}: {error}") from error


def _rows(pa: Any, opened: Any, columns: Columns) -> Iterator[TableRow]:
    schema = opened.schema_arrow
    names = columns.headed(schema.names)
    makers = {
        place: _maker(pa, name, schema.field(place).type)
        for place, name in enumerate(names)
        if name
    }
    number = 0
    for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
        made = [(names[place], make(batch.column(place))) for place, make in makers.items()]
        for row in range(batch.num_rows):
            number += 1
            cells = {name: values[row] for name, values in made if values[row] is not None}
            yield TableRow(number, cells)


def _maker(pa: Any, name: str, kind: Any) -> Callable[[Any], list[Any]]:
    """How the values of one column become Python's."""
    if pa.types.is_timestamp(kind):
        return lambda column: _milliseconds(pa, column, kind)
    if not _is_plain(pa, kind, _MAX_NESTING):
        raise ColumnsInvalid(f"column {name!r} has the type {kind}; write it as text or numbers")
    return lambda column: _bounded(pa, name, column).to_pylist()


def _bounded(pa: Any, name: str, column: Any) -> Any:
    """The column, if Python's memory surely holds each of its cells.

    Raises:
        ColumnsInvalid: a text or a list in it is longer than any that is meant.
    """
    import pyarrow.compute as pc  # type: ignore[import-untyped]  # noqa: PLC0415 - as pyarrow

    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    while pa.types.is_list(texts.type) or pa.types.is_large_list(texts.type):
        if (pc.max(pc.list_value_length(texts)).as_py() or 0) > _MAX_ITEMS:
            raise ColumnsInvalid(f"column {name!r} has a list of over {_MAX_ITEMS:,} items")
        texts = texts.flatten()
    is_text = pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)
    if is_text and (pc.max(pc.binary_length(texts)).as_py() or 0) > _MAX_CELL_BYTES:
        raise ColumnsInvalid(f"column {name!r} has a text of over {_MAX_CELL_BYTES:,} bytes")
    return column


def _milliseconds(pa: Any, column: Any, kind: Any) -> list[Any]:
    """Whole milliseconds; text without a zone where the type has none, so that it is refused.

    By whole numbers of any size: Python's own times end at the year 9999 and at microseconds.
    """
    per_second = _PER_SECOND[kind.unit]
    ticks = column.cast(pa.int64()).to_pylist()
    if kind.tz is None:
        return [None if tick is None else f"{tick} {kind.unit} without a zone" for tick in ticks]
    return [None if tick is None else tick * 1_000 // per_second for tick in ticks]


def _is_plain(pa: Any, kind: Any, nesting: int) -> bool:
    types = pa.types
    if nesting == 0:
        return False
    if types.is_nested(kind):
        inner = [kind.field(place).type for place in range(kind.num_fields)]
        return all(_is_plain(pa, one, nesting - 1) for one in inner)
    if types.is_dictionary(kind):
        return _is_plain(pa, kind.value_type, nesting - 1)
    is_text = types.is_string(kind) or types.is_large_string(kind) or kind == pa.string_view()
    is_number = types.is_integer(kind) or types.is_floating(kind)
    return bool(is_text or is_number or types.is_boolean(kind) or types.is_null(kind))
