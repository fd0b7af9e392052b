"""Which workers take the cases of a cohort."""

from __future__ import annotations

from napari_medcontext.core.settings import Settings, setting


class ClusterSettings(Settings):
    """Workers to start on this machine, or those of a scheduler that runs already; else none."""

    workers: int = setting(0, "Processes to start on this machine; 0 starts none.", ge=0)
    scheduler: str = setting("", "Address of a dask scheduler that runs, as tcp://node1:8786.")

    @property
    def is_any(self) -> bool:
        """Whether there are workers at all."""
        return bool(self.workers or self.scheduler)
