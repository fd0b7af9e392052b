import torch

from napari_medcontext.core.padding import padded_to


def test_edges_are_continued_on_both_sides_and_the_image_is_found_again():
    image = torch.rand(2, 3, 8, 5)
    padded, inner = padded_to(image, (6, 4, 8))
    assert padded.shape == (2, 6, 8, 8)
    torch.testing.assert_close(padded[(slice(None), *inner)], image)
    torch.testing.assert_close(padded[:, 0, :, 0], image[:, 0, :, 0])
    torch.testing.assert_close(padded[:, -1, :, -1], image[:, -1, :, -1])


def test_large_enough_image_is_handed_on_as_it_is():
    image = torch.rand(6, 8, 5)
    assert padded_to(image, (6, 4, 5))[0] is image
