"""Parameters and multiply-adds of the published rows' recipes, counted by a table of recipes or by the speed card."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mmext.analysis.published import PublishedRow
from mmext.analysis.recipe_table import Count, RowKey
from mmext.analysis.speed.records import SpeedRecord

SPEED_CARD = 'speed card'


@dataclass(frozen=True)
class Costs:
    """What was counted.

    Attributes:
        speed: Measurements; a later one counts more.
        counts: Of `mmext.analysis.recipe_table.read_counts`; they count before measurements.
        file: Where ``counts`` come from, as shown on the page.
    """

    speed: Sequence[SpeedRecord] = ()
    counts: Mapping[RowKey, Count] = field(default_factory=dict)
    file: str = ''

    def params(self, row: PublishedRow) -> tuple[float, str] | None:
        """Millions of parameters of the recipe and their source; None if they were not counted."""
        count = self._count(row)
        if count:
            return count.params / 1e6, self.file
        found = [record for record in self.speed if record.config == row.config and record.params is not None]
        return (found[-1].params / 1e6, SPEED_CARD) if found else None

    def gmacs(self, row: PublishedRow) -> tuple[float, str] | None:
        """1e9 multiply-adds at the size of the published figure and their source; None if they were not counted."""
        if row.macs is None:
            return None
        count = self._count(row)
        if count and count.size_hw == row.macs.size_hw:
            return count.macs / 1e9, self.file
        sized = [record for record in self.speed if record.config == row.config and record.shape_hw == row.macs.size_hw]
        found = [record.macs for record in sized if record.macs]
        return (found[-1] / 1e9, SPEED_CARD) if found else None

    def differences(self, rows: Sequence[PublishedRow]) -> Iterator[tuple[PublishedRow, str, float]]:
        """Row, what was counted, and how much more it is than the published figure, in its unit."""
        for row in rows:
            if gmacs := self.gmacs(row):
                yield row, 'GMACs', gmacs[0] - row.macs.gmacs
            if (figure := row.metrics.get('params')) and (params := self.params(row)):
                yield row, 'parameters', params[0] - figure.value

    def _count(self, row: PublishedRow) -> Count | None:
        return self.counts.get(row.key)
