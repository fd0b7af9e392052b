"""DICOM slices for tests, written by pydicom."""

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
FIRST_MM = np.array([-80.0, -90.0, 40.0])
ROW_SPACING, COLUMN_SPACING, STEP = 0.8, 0.6, 2.5


def write_slice(path, pixels, position, directions=AXIAL, series="1.2.3", spacing=None, number=1):
    """Write one CT slice, ``pixels`` by row and column, in HU."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    one.PatientID, one.Modality = "anonymous", "CT"
    one.StudyInstanceUID, one.SeriesInstanceUID = "1.2", series
    one.SeriesDescription = f"series {series}"
    one.InstanceNumber = number
    one.Rows, one.Columns = pixels.shape
    one.ImagePositionPatient = [float(value) for value in position]
    one.ImageOrientationPatient = [float(value) for side in directions for value in side]
    one.PixelSpacing = list(spacing or (ROW_SPACING, COLUMN_SPACING))
    one.SliceThickness = STEP
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = (pixels + 1024).astype(np.uint16).tobytes()
    one.save_as(path, enforce_file_format=True)


def write_series(folder, *, step=(0.0, 0.0, STEP), names=None, leave_out=(), **more):
    """Write a series of 6 slices in a shuffled order of names, and return its voxels in HU."""
    folder.mkdir(exist_ok=True)
    hu = np.random.default_rng(3).integers(-1000, 1500, (6, 7, 5))
    for index in range(6):
        if index not in leave_out:
            name = (names or "slice {}.dcm").format(5 * index % 7)
            position = FIRST_MM + index * np.array(step)
            write_slice(folder / name, hu[index], position, number=6 - index, **more)
    return hu
