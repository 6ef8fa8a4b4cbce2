"""The notebook in examples/ runs, cell after cell, and shows what it says."""

from pathlib import Path
from typing import Any

import pytest

from hubfarm import Farm
from tests.support import ROOT, need_module

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own


@pytest.fixture
def cells(farm: Farm, home: Path) -> list[Any]:
    """The notebook's cells that hold code, run in a kernel of their own."""
    nbformat, nbclient = need_module("nbformat"), need_module("nbclient")
    need_module("astropy")
    notebook = nbformat.read(ROOT / "examples" / "round.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(home)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str) -> str:
    """Return what a cell shows in one form."""
    return "\n".join(output.data.get(kind, "") for output in cell.outputs if "data" in output)


def test_the_whole_round_with_astropy(cells: list[Any], farm: Farm) -> None:
    the_farm, hub, connected, other, both, came, table, went, taken, place, end = cells
    assert ("2 hubs in" in shown(the_farm, "text/html"), "round-1" in shown(the_farm, "text/html")) == (True, True)
    assert "<HubInfo round-1: running" in shown(hub, "text/plain")
    assert "<SAMPIntegratedClient notebook: c1 on round-1>" in shown(connected, "text/plain")
    assert "img" in shown(connected, "text/html")  # the hub's icon
    assert "<AsyncClient catalogue: c2 on round-1>" in shown(other, "text/plain")
    assert "catalogue (c2)" in shown(both, "text/html")
    assert "samp_table_1: the table galaxies of catalogue (c2), 3 rows, 3 columns" in shown(came, "text/html")
    assert "<Receipt notebook (c1): samp.ok>" in shown(came, "text/plain")
    assert "M 101" in shown(table, "text/plain")
    assert "<Receipt catalogue (c2): samp.ok>" in shown(went, "text/plain")
    assert ("M 31" in shown(taken, "text/plain"), "M 101" in shown(taken, "text/plain")) == (True, False)
    assert "10.68" in shown(place, "text/html")
    assert "['round-1', 'round-2']" in shown(end, "text/plain")
    assert farm.hubs() == []
