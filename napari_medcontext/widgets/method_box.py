"""The choice of a way to train: presets in plain words, and settings of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.presets import with_preset
from napari_medcontext.widgets.parts import LongList

Chosen = Mapping[str, Mapping[str, Any]]
"""Section of the settings to its values."""

CUSTOM = "custom"
SUPERVISED = "supervised"
WORDS: Mapping[str, tuple[str, str]] = {
    "default": (
        "MedContext",
        "Learns from each patch whole and masked, and agrees with a teacher about what is "
        "hidden. A step takes a little over twice as long as a supervised one: where a run has "
        "minutes only, labels alone do as well.",
    ),
    SUPERVISED: (
        "supervised (labels alone)",
        "Learns from labels on whole patches: no masks, no teacher. The fastest step.",
    ),
    "one-pass": (
        "one view (fast)",
        "Sees each patch once, half of them masked; no teacher. A step costs as much as a "
        "supervised one.",
    ),
    "masked-loss-only": (
        "masked view without a teacher",
        "Finds the labels in the whole and in the masked patch; no teacher. A step takes about "
        "twice as long as a supervised one.",
    ),
    "consistency-only": (
        "masked view for the teacher alone",
        "Labels teach on whole patches; on masked ones the student only agrees with the teacher. "
        "A step takes a little over twice as long as a supervised one.",
    ),
    "paper": (
        "as in the paper",
        "MedContext with the published numbers: 40 % hidden, in tokens where the network has "
        "them, and a teacher that follows slowly, for long runs. A step takes a little over "
        "twice as long as a supervised one.",
    ),
    "released-code": (
        "as in the released code",
        "As in the paper, but with 60 % hidden, which is what its authors' code does. A step "
        "takes a little over twice as long as a supervised one.",
    ),
}
"""Title of each preset, and what it does and costs."""
CUSTOM_WORDS = (
    "settings of your own",
    "Masking or objective are set otherwise than in any of the ways above.",
)


class MethodBox(LongList):
    """The ways to train; it follows the settings, and says so where they match none."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("train_method")
        self._own: Chosen = {}
        for name, words in WORDS.items():
            self._offer(name, *words)
        self._follow()
        self.currentIndexChanged.connect(self._follow)

    @property
    def is_supervised(self) -> bool:
        """Whether labels alone teach."""
        return bool(self.currentData() == SUPERVISED)

    @property
    def hides(self) -> bool:
        """Whether a preset says what is hidden."""
        return self.currentData() not in (SUPERVISED, CUSTOM)

    def settings(self, network: str | None) -> Chosen:
        """Return what the chosen way sets, objective and masking.

        Parameters
        ----------
        network
            Name of the network, for its tokens; ``None`` for one that is not known here, and
            so is taken to have none.
        """
        if self.currentData() == CUSTOM:
            return self._own
        return _settings(self.currentData(), network)

    def show_match(self, config: RunConfig, network: str | None) -> None:
        """Select the way that these settings are; ``network`` as for ``settings``."""
        own = _parts(config)
        if config.objective.method == SUPERVISED:
            # Masks and teacher change nothing then.
            name = SUPERVISED
        else:
            name = next((way for way in WORDS if _settings(way, network) == own), CUSTOM)
        if name == CUSTOM:
            # Remembered, so that a look at another way loses nothing.
            self._own = own
            if self.findData(CUSTOM) < 0:
                self._offer(CUSTOM, *CUSTOM_WORDS)
        with QSignalBlocker(self):
            self.setCurrentIndex(self.findData(name))
        self._follow()

    def _offer(self, name: str, title: str, tip: str) -> None:
        with QSignalBlocker(self):
            self.addItem(title, name)
            self.setItemData(self.findData(name), tip, Qt.ItemDataRole.ToolTipRole)

    def _follow(self) -> None:
        self.setToolTip(str(self.currentData(Qt.ItemDataRole.ToolTipRole)))


def _settings(way: str, network: str | None) -> Chosen:
    changes = {} if network is None else {"network": {"name": network}}
    return _parts(with_preset(RunConfig().updated(changes), way))


def _parts(config: RunConfig) -> Chosen:
    return {
        "objective": config.objective.model_dump(),
        "masking": config.masking.model_dump(),
    }
