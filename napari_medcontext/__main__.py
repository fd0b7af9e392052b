"""``python -m napari_medcontext`` is the ``medcontext`` command."""

from napari_medcontext.cli import main

main()
