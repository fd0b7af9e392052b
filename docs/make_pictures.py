"""Take the pictures of the documentation: run the demo's tour and keep what it photographs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

STEPS = 120
PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    """Run the tour in a temporary folder and copy its pictures."""
    with tempfile.TemporaryDirectory(prefix="medcontext-pictures-") as name:
        folder = Path(name)
        # Pictures show the defaults, not what the user chose last; napari reads this on import.
        os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
        import napari

        from napari_medcontext.demo import Tour

        viewer = napari.Viewer(title="napari-medcontext")
        tour = Tour(viewer, folder / "demo", STEPS)
        tour.make_room()
        tour.open_sample()
        tour.do_all()
        viewer.close()
        PICTURES.mkdir(exist_ok=True)
        for path in tour.results():
            if path.suffix == ".png":
                print(shutil.copy(path, PICTURES / path.name))


if __name__ == "__main__":
    main()
