"""The deletion-vector codec."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from tablever.delta import vectors
from tablever.errors import CorruptionError, UnsupportedFeatureError
from tablever.model import DeletionVector
from tablever.storage import LocalStorage

positions = st.one_of(
    st.frozensets(st.integers(0, 300), max_size=50),
    st.frozensets(st.integers(0, 2**63), max_size=20),
    st.builds(lambda start, count: frozenset(range(start, start + count)), st.integers(0, 2**40), st.integers(0, 5000)),
)
NOWHERE = LocalStorage(Path("/nowhere"))


@given(positions)
def test_a_blob_holds_its_positions(rows: frozenset[int]) -> None:
    """Decoding an encoded set gives the set, in a blob and inline."""
    blob = vectors.encode(rows)
    assert set(vectors.decode(blob)) == rows
    assert set(vectors.load(NOWHERE, vectors.inline(blob, len(rows)))) == rows


@given(st.lists(positions, max_size=4), st.uuids())
def test_a_file_holds_its_blobs(
    tmp_path_factory: pytest.TempPathFactory, sets: list[frozenset[int]], name: uuid.UUID
) -> None:
    """Each vector in a file is found by its offset, whichever others lie beside it."""
    storage = LocalStorage(tmp_path_factory.mktemp("table"))
    blobs = [vectors.encode(rows) for rows in sets]
    offsets = vectors.file_offsets(blobs)
    stored = [
        vectors.stored("_dv", name, offset, len(blob), len(rows))
        for offset, blob, rows in zip(offsets, blobs, sets, strict=True)
    ]
    storage.put(f"_dv/deletion_vector_{name}.bin", vectors.file_bytes(blobs))
    assert [set(vectors.load(storage, vector)) for vector in stored] == [set(rows) for rows in sets]


@given(st.binary(max_size=64), st.sampled_from(["", "_dv", "ab", "a%20b"]), st.uuids())
def test_z85_round_trip(data: bytes, folder: str, name: uuid.UUID) -> None:
    """Z85 gives its bytes back, padded with zeros; a descriptor names its file."""
    assert vectors.parse_inline(vectors.render_z85(data), len(data)) == data
    path = vectors.vector_path(vectors.stored(folder, name, 1, 1, 1))
    assert path == (f"{folder}/" if folder else "") + f"deletion_vector_{name}.bin"


def test_z85_is_the_published_one() -> None:
    """The example of ZeroMQ RFC 32 encodes as there."""
    assert vectors.render_z85(bytes.fromhex("864FD26FB559F75B")) == "HelloWorld"


def test_descriptor_of_the_protocol() -> None:
    """The descriptor that the Delta protocol shows as its example names the file that it says."""
    vector = DeletionVector("u", "ab^-aqEH.-t@S}K{vb[*k^", 36, 2, 1)
    assert vectors.vector_path(vector) == "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin"


@pytest.mark.parametrize(
    ("text", "size", "rows"),
    [
        ("^Bg9^0rr910000000000iXQKl0rr91000005c8Xg##093", 34, {3}),
        ("^Bg9^0rr910000000000iXQKl0rr91000315c8Xg000f5", 36, {0, 5}),
    ],
)
def test_padding_of_other_writers_is_read(text: str, size: int, rows: set[int]) -> None:
    """Inline vectors with the ``#`` padding of the Rust library decode like any other."""
    vector = DeletionVector("i", text, size, len(rows))
    assert set(vectors.load(NOWHERE, vector)) == rows


@pytest.fixture
def stored(tmp_path: Path) -> tuple[LocalStorage, DeletionVector, Path]:
    """A table with one vector of rows 1 and 5 in a file."""
    storage, name, blob = LocalStorage(tmp_path), uuid.UUID(int=7), vectors.encode([1, 5])
    storage.put(f"_dv/deletion_vector_{name}.bin", vectors.file_bytes([blob]))
    vector = vectors.stored("_dv", name, 1, len(blob), 2)
    return storage, vector, tmp_path / vectors.vector_path(vector)


def test_every_flipped_bit_is_found(stored: tuple[LocalStorage, DeletionVector, Path]) -> None:
    """A vector file with one bit changed anywhere is refused."""
    storage, vector, path = stored
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        with pytest.raises(CorruptionError):
            vectors.load(storage, vector)


def test_every_cut_is_found(stored: tuple[LocalStorage, DeletionVector, Path]) -> None:
    """A vector file cut anywhere is refused."""
    storage, vector, path = stored
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(CorruptionError):
            vectors.load(storage, vector)


def test_a_cardinality_that_lies_is_found(stored: tuple[LocalStorage, DeletionVector, Path]) -> None:
    """The number of rows in the log and in the bitmap must agree."""
    storage, vector, _ = stored
    with pytest.raises(CorruptionError, match="holds 2 rows"):
        vectors.load(storage, DeletionVector(**{**vector.__dict__, "cardinality": 3}))


def test_an_absolute_path_must_lie_in_the_table(stored: tuple[LocalStorage, DeletionVector, Path]) -> None:
    """A descriptor of type p is read in the table's folder and refused elsewhere."""
    storage, vector, path = stored
    absolute = DeletionVector("p", path.as_uri(), vector.size, 2, 1)
    assert set(vectors.load(storage, absolute)) == {1, 5}
    with pytest.raises(UnsupportedFeatureError):
        vectors.load(LocalStorage(storage.root / "other"), absolute)


@pytest.mark.parametrize(
    "vector",
    [
        DeletionVector("x", "abc", 1, 1),
        DeletionVector("u", "short", 1, 1),
        DeletionVector("u", "~" * 20, 1, 1),
        DeletionVector("i", "0000", 3, 1),
        DeletionVector("i", "00000", 4, 0),
        DeletionVector("i", "", 0, 0),
        DeletionVector("i", "####1", 1, 1),
        DeletionVector("i", "%####", 4, 1),
        DeletionVector("i", vectors.render_z85(vectors.MAGIC), 4, 0),
        DeletionVector("i", vectors.render_z85(vectors.MAGIC + b"\1" * 8), 12, 0),
        DeletionVector("i", vectors.render_z85(vectors.encode([1])), 8, 1),
    ],
)
def test_what_is_no_vector_is_refused(vector: DeletionVector) -> None:
    """Unknown types, bad Z85 and blobs without a bitmap raise CorruptionError, never another error."""
    with pytest.raises(CorruptionError):
        vectors.load(NOWHERE, vector)


@given(st.binary(max_size=80))
def test_noise_is_refused_or_a_bitmap(noise: bytes) -> None:
    """No bytes after the magic number make the decoder fail in another way."""
    with contextlib.suppress(CorruptionError):
        assert len(vectors.decode(vectors.MAGIC + noise)) >= 0


def test_positions_out_of_the_file_are_refused() -> None:
    """A vector that names a row past the file's end is damage; the last row is not."""
    vectors.check_range(BitMap64(), 0, path="a")
    vectors.check_range(BitMap64([9]), 10, path="a")
    with pytest.raises(CorruptionError, match="names row 10"):
        vectors.check_range(BitMap64([10]), 10, path="a")
