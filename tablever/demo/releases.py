"""Eight releases of airportsdata, as published on PyPI: see ATTRIBUTION.md beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

PATH = Path(__file__).with_name("airports.parquet")
COLUMNS = ["icao", "iata", "name", "city", "subd", "country", "elevation", "lat", "lon", "tz", "lid"]
MASK = "releases"


@dataclass(frozen=True)
class Release:
    """One published release: its name on PyPI, its place among the eight, and whether it has the column ``lid``."""

    name: str
    index: int
    has_lid: bool = True

    @property
    def published(self) -> date:
        """The day of the release, which is what airportsdata numbers its releases by."""
        return date(int(self.name[:4]), int(self.name[4:6]), int(self.name[6:8]))

    @property
    def message(self) -> str:
        """What the demo's commit says."""
        return f"airportsdata {self.name}, released {self.published}"


_NAMES = ("20221105.1", "20221121", "20230303", "20230617", "20230630", "20240309", "20240401", "20240728")
RELEASES = tuple(Release(name, index, has_lid=index > 0) for index, name in enumerate(_NAMES))


def load() -> pa.Table:
    """The rows of all releases, each distinct one once, with the mask of the releases that hold it."""
    import pyarrow.parquet as pq

    return pq.read_table(PATH)


def rows_of(shipped: pa.Table, release: Release) -> pa.Table:
    """The rows of one release in icao order, with the columns that the release had."""
    import pyarrow.compute as pc

    held = pc.not_equal(pc.bit_wise_and(shipped[MASK], 1 << release.index), 0)
    return shipped.filter(held).select(COLUMNS if release.has_lid else COLUMNS[:-1])
