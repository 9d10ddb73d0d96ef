"""Numbers of objects go through the batch, and again where a detector goes through it again."""

import torch

from fpnprobe.mm.adapters.objects import Objects


def test_images_count_on_where_the_batch_is_repeated() -> None:
    objects = Objects((0, 2, 5), torch.zeros(5).long(), torch.zeros(5).long(), torch.ones(5))
    assert objects.images == 2
    assert [objects.of_image(i).tolist() for i in range(4)] == [[0, 1], [2, 3, 4]] * 2
    assert objects.numbers(3, torch.tensor([2])).tolist() == [4]
