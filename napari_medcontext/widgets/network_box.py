"""The choice of a network, and what of it is checked before a run."""

from __future__ import annotations

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.masking import mask_unit
from napari_medcontext.core.networks import known_networks
from napari_medcontext.widgets.parts import LongList


class NetworkBox(LongList):
    """The networks that can be trained; one that a configuration names joins the list.

    A function of somebody else's is never imported here: it would bring torch into napari. The
    run checks it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("train_network")
        self.setToolTip("The network to train. U-Net is the fastest on a laptop.")
        self._known = known_networks()
        # This package's own before those of others.
        for name, entry in sorted(self._known.items(), key=lambda item: not item[1].own):
            self.addItem(entry.title, name)
        self.choose(RunConfig().network.name)

    @property
    def name(self) -> str:
        """The chosen network, as settings name it."""
        return str(self.currentData())

    @property
    def known_name(self) -> str | None:
        """The same if nothing need be imported to know it."""
        return self.name if self.name in self._known else None

    def choose(self, name: str) -> None:
        """Select a network by the name that settings give it."""
        if self.findData(name) < 0:
            self.addItem(name, name)
        self.setCurrentIndex(self.findData(name))

    def check(self, config: RunConfig) -> None:
        """Refuse patches and masks that the network cannot take.

        Raises
        ------
        SettingsError
            Naming what fits.
        """
        if config.network.name in self._known:
            network = self._known[config.network.name]
            network.check_patch_size(config.network.name, config.data.patch_size)
            mask_unit(config)
