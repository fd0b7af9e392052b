"""What a user can do wrong, said so that they can mend it."""


class MedContextError(Exception):
    """A failure that the user can act on; its text says what is wrong, where, and what to do."""


class ScanError(MedContextError):
    """A scan or its labels cannot be used as they are."""


class ScanWarning(UserWarning):
    """A scan that can be used, but is odd; or of which something had to be presumed."""


class SettingsError(MedContextError):
    """A setting has a value that cannot work."""


class RunError(MedContextError):
    """A run folder cannot be read, written or continued."""


class TrainingError(MedContextError):
    """A training went astray, and going on would spoil what it has learned."""


class DownloadError(MedContextError):
    """A public data set cannot be had, or is not what was published."""


class OutOfMemoryError(MedContextError):
    """The device's memory does not hold what was asked of it."""
