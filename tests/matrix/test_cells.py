"""What the matrix is made of."""

from __future__ import annotations

from matrix.cells import ALL, CATALOGS, EACH_PART, ENGINES, STORES, USUAL


def test_the_usual_combinations_leave_no_part_out() -> None:
    assert set(USUAL) <= set(ALL)
    assert {cell.engine for cell in USUAL} == set(ENGINES)
    assert {(cell.catalog, cell.store) for cell in USUAL} == {(a, b) for a in CATALOGS for b in STORES}
    assert set(EACH_PART) <= set(USUAL)
    assert ({cell.catalog for cell in EACH_PART}, {cell.store for cell in EACH_PART}) == (set(CATALOGS), set(STORES))
    assert len({str(cell) for cell in ALL}) == len(ENGINES) * len(CATALOGS) * len(STORES)
