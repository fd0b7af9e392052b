"""Many cases on several processes or machines: dask workers take them one by one.

Importing this imports no dask; that is an extra, ``napari-medcontext[cohort]``.
"""

from napari_medcontext.core.cohort.cluster_settings import ClusterSettings

__all__ = ["ClusterSettings"]
