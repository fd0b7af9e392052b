"""What the options of the ``medcontext`` commands name: settings, scans and regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.data_presets import DataPreset
from napari_medcontext.core.errors import ScanError, SettingsError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.networks import check_patch_size
from napari_medcontext.core.presets import with_preset
from napari_medcontext.core.region_tables import load_regions, parsed_regions
from napari_medcontext.core.scored_parts import listed_classes
from napari_medcontext.core.settings import load_settings_file, validated


def settings(
    file: Path | None,
    preset: str | None,
    changes: Mapping[str, Mapping[str, Any]],
    data_preset: DataPreset | None = None,
) -> RunConfig:
    """Return the defaults, changed by a file, then by presets, then by single options.

    Parameters
    ----------
    file
        One of settings, or a run's own ``run.yaml``.
    preset
        Its name.
    changes
        Section to its changed settings.
    data_preset
        That of a public data set.

    Raises
    ------
    SettingsError
        If a setting or the network's name is wrong, or the network cannot take the patches.
    """
    # Nobody looks at previews in a terminal, so none are made unless a file asks for them.
    config = RunConfig().updated({"training": {"preview_every": 0.0}})
    if file is not None:
        config = config.updated(_from_file(file))
    if data_preset is not None:
        config = config.updated(data_preset.changes)
    if preset is not None:
        # What a preset hides depends on the network, which an option may name.
        network = {name: changes[name] for name in ("network",) if name in changes}
        config = with_preset(config.updated(network), preset)
    config = config.updated(changes)
    check_patch_size(config.network.name, config.data.patch_size)
    return config


def regions_beside(file: Path | None, words: Sequence[str] | None) -> Path | None:
    """Return a file of settings if its regions count: a run's own, with none in words."""
    if file is None or words or not load_settings_file(file).get("regions"):
        return None
    return file


def region_table(words: Sequence[str] | None, file: Path | None) -> dict[str, tuple[int, ...]]:
    """Return the regions that words or a file name; none where there are neither.

    Raises
    ------
    SettingsError
        If both name regions, or one is wrong.
    """
    if words and file is not None:
        raise SettingsError("Name the regions once: by --region, or by --regions.")
    return load_regions(file) if file is not None else parsed_regions(words or [])


def chosen_classes(words: str | None) -> list[int | str] | None:
    """Return the classes that a list names, by id or by name; None where there is no list.

    Raises
    ------
    SettingsError
        If the list names none.
    """
    if words is None:
        return None
    classes = listed_classes(words)
    if not classes:
        raise SettingsError("--classes names no class. Give ids or names: --classes 1,6,liver.")
    return classes


class Scans(NamedTuple):
    """Scans, and what their classes and channels are where that is said."""

    cases: tuple[Case, ...]
    class_names: dict[int, str]
    channels: tuple[str, ...]


def training_scans(
    given: Mapping[str, Any],
    ignore_label: int | None = None,
    *,
    unlabelled: bool = True,
    presumed: tuple[str, ...] = (),
) -> Scans:
    """Return the scans to train on, from wherever options name them.

    Parameters
    ----------
    given
        The values of ``images``, ``labels``, ``dataset``, ``unlabelled`` and ``channels``.
    ignore_label
        The id that the settings take for “unknown”.
    unlabelled
        Whether scans without labels may join.
    presumed
        What the channels are where neither an option nor the data set names them.

    Raises
    ------
    SettingsError
        If they are named twice or not at all.
    ScanError
        If there are none, labels are missing, or two have one name.
    """
    from napari_medcontext.core.cases import (
        decathlon_cases,
        paired_cases,
        refuse_duplicates,
        with_unlabelled,
    )

    images, labels, dataset = given["images"], given["labels"], given["dataset"]
    joining = given["unlabelled"] if unlabelled else None
    names: dict[int, str] = {}
    if dataset is not None and (images is not None or labels is not None):
        raise SettingsError("Name the scans once: by --dataset, or by --images and --labels.")
    channels = _channels(given.get("channels"), dataset) or presumed
    if dataset is not None:
        cases, names = decathlon_cases(dataset, ignore_label)
        cases = with_unlabelled(cases, joining, channels)
    elif images is not None and labels is not None:
        cases = paired_cases(images, labels, unlabelled=joining, channels=channels)
    else:
        raise SettingsError("Name the scans: --images DIR --labels DIR, or --dataset dataset.json.")
    refuse_duplicates(cases)
    return Scans(cases, names, channels)


def labelled_cases(given: Mapping[str, Any], channels: Sequence[str]) -> tuple[Case, ...]:
    """Return the labelled scans of two folders, or the test scans of a ``dataset.json``.

    Parameters
    ----------
    given
        The values of ``images``, ``labels`` and ``dataset``.
    channels
        What the channels of a scan are, where there are several.

    Raises
    ------
    SettingsError
        If they are named twice or not at all.
    ScanError
        If there are none.
    """
    from napari_medcontext.core.cases import decathlon_part

    images, labels, dataset = given["images"], given["labels"], given["dataset"]
    if dataset is None:
        words = {**given, "channels": ",".join(channels)}
        return training_scans(words, unlabelled=False).cases
    if images is not None or labels is not None:
        raise SettingsError("Name the scans once: by --dataset, or by --images and --labels.")
    cases = tuple(case for case in decathlon_part(dataset, "test") if case.labels is not None)
    if not cases:
        raise ScanError(f"{dataset} lists no scan as “test” that has labels.")
    return cases


def with_roles(
    cases: tuple[Case, ...], validation: Sequence[str], objective: ObjectiveSettings
) -> tuple[Case, ...]:
    """Return the scans, those with one of these names, or file names, for validation.

    Raises
    ------
    ScanError
        If there is no scan of a name, or a scan without labels cannot have its role.
    """
    from napari_medcontext.core.cases import require_labels

    known = {case.name for case in cases}
    wanted = {name if name in known else scan_name(Path(name)) for name in validation}
    unknown = sorted(wanted - known)
    if unknown:
        raise ScanError(
            f"There is no scan {', '.join(unknown)} to validate on; there are "
            f"{', '.join(case.name for case in cases)}."
        )
    cases = tuple(
        case.model_copy(update={"role": "validation"}) if case.name in wanted else case
        for case in cases
    )
    require_labels(cases, objective)
    return cases


def scans_to_predict(paths: Sequence[Path], channels: Sequence[str]) -> tuple[Case, ...]:
    """Return a case for each scan among files and the files of folders.

    Parameters
    ----------
    paths
        Files and folders.
    channels
        What the run takes of a scan, where it takes several channels.

    Raises
    ------
    ScanError
        If there is none, two have one name, or one lacks a channel.
    """
    from napari_medcontext.core.cases import refuse_duplicates
    from napari_medcontext.core.channel_files import cases_of
    from napari_medcontext.core.io import list_scans

    files = [file for path in paths for file in (list_scans(path) if path.is_dir() else [path])]
    if not files:
        raise ScanError(f"There is no scan in {', '.join(map(str, paths))}.")
    cases = cases_of(files, channels)
    refuse_duplicates(cases)
    return cases


def _channels(words: str | None, dataset: Path | None) -> tuple[str, ...]:
    """Return the channels that are named, by option or by the data set."""
    from napari_medcontext.core.cases import dataset_channels
    from napari_medcontext.core.channel_files import listed_channels

    given = listed_channels(words)
    named = () if dataset is None else dataset_channels(dataset)
    if given and named and given != named:
        raise SettingsError(
            f"{dataset} names the channels {', '.join(named)}, and --channels {', '.join(given)}. "
            "Leave --channels out."
        )
    return given or named


def _from_file(file: Path) -> dict[str, Any]:
    """Return the settings in a file, checked; a path in them is taken from where the file lies."""
    values = load_settings_file(file)
    values = values.get("config", values)
    pretrained = validated(RunConfig, values, str(file)).network.pretrained
    if pretrained is not None:
        absolute = (file.absolute().parent / pretrained).resolve()
        values = {**values, "network": {**values["network"], "pretrained": absolute}}
    return dict(values)
