"""Predict scans that memory does not hold: read, computed and written block by block.

What is done to a block is what is done to a whole scan elsewhere: ``transforms`` smooths and
resamples it, ``intensities`` scales it, ``windows`` slides over it, ``Classes`` decides. This
package knows which voxels of one grid each block of another needs, and lets go of them in time.
"""
