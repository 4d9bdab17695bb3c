import torch

from hamipose.methods.parts.occlusion import choose_joint, paste_patches, patch_side, random_corners


def picture(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def test_paste_patches_replaces_exactly_one_square():
    images = picture(3, 20, 24)
    centers = torch.tensor([[7.3, 9.6], [0.2, 19.0], [12.0, 10.0]])
    corners = torch.tensor([[10, 2], [3, 5], [1, 1]])
    found = paste_patches(images, centers, corners, 6, torch.tensor([True, True, False]))
    expected = images.clone()
    for image, ((x, y), (left, top)) in enumerate(zip([(7, 10), (0, 19)], corners.tolist(), strict=False)):
        for dy in range(-3, 3):
            for dx in range(-3, 3):
                if 0 <= y + dy < 20 and 0 <= x + dx < 24:
                    expected[image, :, y + dy, x + dx] = images[image, :, top + dy + 3, left + dx + 3]
    assert torch.equal(found, expected)
    assert torch.equal(found[2], images[2])


def test_random_corners_keep_patches_inside():
    corners = random_corners(500, 6, 20)
    assert corners.min() == 0
    assert corners.max() == 14


def test_choose_joint_selects_every_confident_keypoint():
    heights = torch.tensor([[0.95, 0.1, 0.9, 0.89], [0.2, 0.3, 0.4, 0.5]]).repeat(400, 1)
    joint, chosen = choose_joint(heights, threshold=0.9, probability=0.5)
    first = joint[::2][chosen[::2]]
    assert set(first.tolist()) == {0, 2}
    assert 120 < len(first) < 280  # 200 ± 8 standard deviations
    assert 0.3 < (first == 0).float().mean() < 0.7
    assert not chosen[1::2].any()
    assert choose_joint(heights, 0.9, 1.0)[1][::2].all()
    assert not choose_joint(heights, 0.9, -1.0)[1].any()


def test_patch_side_scales_with_the_image():
    assert [patch_side(20, size) for size in (256, 128, 64, 32)] == [20, 10, 4, 2]
