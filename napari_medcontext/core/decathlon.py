"""The tasks of the Medical Segmentation Decathlon, as they can be downloaded.

Addresses and MD5 sums are those of MONAI's ``DecathlonDataset`` (``monai.apps.datasets``), which
names the copy among Amazon's open data. Sizes are rounded; the server says the true one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_medcontext.core.errors import SettingsError

BASE_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
LICENCE = "CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/)"
REFERENCE = "Antonelli et al., Nature Communications 13, 4128 (2022); http://medicaldecathlon.com"

MIRROR_VARIABLE = "MEDCONTEXT_MIRROR"
"""Environment variable: the address of another copy of the archives."""
DATA_VARIABLE = "MEDCONTEXT_DATA"
"""Environment variable: the folder that data sets are put in."""


@dataclass(frozen=True)
class Task:
    """One task of the Decathlon.

    Parameters
    ----------
    name
        Of its folder; its archive is called so too.
    md5
        Checksum of the archive.
    megabytes
        About how large the archive is; unpacked it is as large again.
    what
        What is segmented, in what.
    """

    name: str
    md5: str
    megabytes: float
    what: str

    @property
    def archive(self) -> str:
        """Name of the archive's file."""
        return f"{self.name}.tar"

    @property
    def size_text(self) -> str:
        """About how large the archive is, for people."""
        return size_text(self.megabytes * 1e6)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            "Task01_BrainTumour",
            "240a19d752f0d9e9101544901065d872",
            7100,
            "glioma, MRI of four kinds",
        ),
        Task("Task02_Heart", "06ee59366e1e5124267b774dbd654057", 435, "left atrium, MRI"),
        Task("Task03_Liver", "a90ec6c4aa7f6a3d087205e23d4e6397", 26900, "liver and tumour, CT"),
        Task("Task04_Hippocampus", "9d24dba78a72977dbd1d2e110310f31b", 27, "both parts of it, MRI"),
        Task(
            "Task05_Prostate",
            "35138f08b1efaef89d7424d2bcc928db",
            229,
            "both zones, MRI of two kinds",
        ),
        Task("Task06_Lung", "8afd997733c7fc0432f71255ba4e52dc", 8500, "lung tumour, CT"),
        Task(
            "Task07_Pancreas", "4f7080cfca169fa8066d17ce6eb061e4", 11400, "pancreas and tumour, CT"
        ),
        Task(
            "Task08_HepaticVessel",
            "641d79e80ec66453921d997fbf12a29c",
            8700,
            "vessels and tumour, CT",
        ),
        Task("Task09_Spleen", "410d4a301da4e5b2f6f86ec3ddba524e", 1500, "spleen, CT"),
        Task("Task10_Colon", "bad7a188931dc2f6acf72b08eb6202d0", 5800, "colon cancer, CT"),
    )
}
"""The ten tasks by the names of their folders."""


def find_task(words: str) -> Task:
    """Return the task of a name: ``Task09_Spleen``, ``Task09`` or ``spleen``, in any case.

    Raises
    ------
    SettingsError
        For any other name, listing those that there are.
    """
    wanted = words.strip().lower()
    for name, task in TASKS.items():
        if wanted in {name.lower(), *name.lower().split("_")}:
            return task
    raise SettingsError(f"There is no data set “{words}”; choose one of {', '.join(TASKS)}.")


def mirror() -> str:
    """Return where archives are downloaded from."""
    return os.environ.get(MIRROR_VARIABLE) or BASE_URL


def data_folder() -> Path:
    """Return the folder that data sets are put in: the user's own for data, or another named."""
    from platformdirs import user_data_path

    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser() if named else user_data_path("napari-medcontext") / "decathlon"


def size_text(size: float) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
