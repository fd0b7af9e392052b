"""A comparison study: the same scans, seeds, batches and steps for each way to train.

``arms`` and ``ablations`` say what is compared, ``plan`` which trainings that makes, ``cell``
does one of them, ``conduct`` all; ``rows`` keeps what was measured, ``curves``, ``statistics``
and ``comparison`` make sense of it, ``results``, ``report`` and ``figure`` tell it.
"""
