"""Settings of the method itself: what is hidden, and what is learned from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from napari_medcontext.core.settings import Millimetres, Settings, setting

Method = Literal["medcontext", "supervised"]
Axis = Literal["auto", "x", "y", "z"]
Share = Annotated[float, Field(gt=0, lt=1)]


class MaskingSettings(Settings):
    """What is hidden in the masked view (Eq. 1)."""

    scheme: Literal["tube", "blocks", "structure"] = setting(
        "tube",
        "What is hidden. tube: columns, the same in every slice (the paper); blocks: boxes, each "
        "by itself; structure: a box round one labelled structure, among decoys of similar size.",
        title="Mask scheme",
    )
    site: Literal["voxels", "tokens"] = setting(
        "voxels",
        "Where it is hidden. voxels: in the scan, which suits any network and leaks nothing; "
        "tokens: in the patch embedding of a transformer (the paper), past which its first skip "
        "connection still sees the scan.",
        title="Mask site",
    )
    token: Literal["value", "block"] = setting(
        "value",
        "What is learned to stand in the hidden place. value: one for all of it; block: a whole "
        "block, which repeats.",
        title="Mask token",
    )
    ratio: float = setting(
        0.4,
        "Share of the patch that is hidden from the student: an exact share of its columns or "
        "blocks; structure adds decoys until it is reached.",
        title="Mask ratio",
        unit="of the patch",
        gt=0,
        lt=1,
    )
    ratio_range: tuple[Share, Share] | None = setting(
        None,
        "Lowest and highest mask ratio, one drawn for each patch. Empty: always the mask ratio.",
        title="Mask ratio from, to",
    )
    block_size: int = setting(
        16,
        "Width of one hidden column, in the plane across the depth axis, or of one block.",
        title="Mask block size",
        unit="voxels",
        ge=1,
    )
    block_size_mm: Millimetres | None = setting(
        None,
        "The same in millimetres, for each axis by its voxel size. Empty: as given in voxels.",
        title="Mask block size in mm",
        unit="mm",
    )
    axis: Axis = setting(
        "auto",
        "Axis along which columns run. auto: the axis of clearly thickest slices, "
        "else inferior–superior (z).",
    )

    @model_validator(mode="after")
    def _ratios_rise(self) -> MaskingSettings:
        if self.ratio_range is not None and self.ratio_range[0] > self.ratio_range[1]:
            raise ValueError("the lowest mask ratio must not lie above the highest")
        return self


class ObjectiveSettings(Settings):
    """What the network is asked to become good at (Eq. 4), and how the teacher follows (Eq. 6)."""

    method: Method = setting(
        "medcontext",
        "medcontext learns from the plain and the masked scan with a teacher; "
        "supervised learns from the plain scan alone.",
    )
    views: Literal["two", "one"] = setting(
        "two",
        "two: patches are seen whole and, a second time, masked (the paper). one: each patch is "
        "seen once, a share of them masked, which costs no more than supervised learning.",
        title="Views of a patch",
    )
    masked_weight: float = setting(
        1.0,
        "Weight of finding the labels in the masked view; 0 leaves the masked view to the teacher.",
        title="Masked loss weight",
        ge=0,
    )
    masked_share: float = setting(
        1.0,
        "Share of the patches that are masked. With two views, fewer make a step cheaper; with "
        "one view, the others are seen whole.",
        title="Share of masked patches",
        unit="of the patches",
        gt=0,
        le=1,
    )
    masked_start: float = setting(
        0.0,
        "When masking starts; before, learning is supervised.",
        title="Masking starts after",
        unit="of the run",
        ge=0,
        lt=1,
    )
    masked_ramp: float = setting(
        0.0,
        "How long the share of masked patches takes to rise from 0, once masking starts.",
        title="Masking rises over",
        unit="of the run",
        ge=0,
        le=1,
    )
    consistency_weight: float = setting(
        0.5,
        "β: weight of agreeing with the teacher where the scan is hidden. 0: there is no teacher.",
        title="Consistency weight β",
        ge=0,
    )
    consistency_ramp: float = setting(
        0.0,
        "How long β takes to rise from 0, once masking starts.",
        title="β rises over",
        unit="of the run",
        ge=0,
        le=1,
    )
    keep_teacher: bool = setting(
        False,
        "Keep a teacher even where no loss needs one (β of 0), to predict with it.",
        title="Always keep a teacher",
    )
    momentum: float = setting(
        0.996, "λ₀: share of itself that the teacher keeps at each step, at first.", ge=0, lt=1
    )
    momentum_schedule: Literal["run_length", "paper"] = setting(
        "run_length",
        "paper: cosine from λ₀ to 1. run_length: the same, but never slower than an average "
        "over the last tenth of the run, so that short runs get a teacher that has learned.",
    )

    @property
    def has_masked_view(self) -> bool:
        """Whether anything is learned from masked scans."""
        return self.method == "medcontext" and (self.masked_weight > 0 or self.has_consistency)

    @property
    def has_consistency(self) -> bool:
        """Whether the student is asked to agree with a teacher."""
        return self.method == "medcontext" and self.consistency_weight > 0

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher follows the student."""
        return self.has_consistency or (self.method == "medcontext" and self.keep_teacher)

    @model_validator(mode="after")
    def _one_view_learns_from_labels(self) -> ObjectiveSettings:
        if self.views == "one" and self.masked_weight == 0:
            raise ValueError("with one view the masked loss weight must be above 0")
        return self
