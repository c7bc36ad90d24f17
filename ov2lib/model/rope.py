"""3D rotary position embedding of the vision encoder, exactly as the published weights were trained with it.

A patch at source place (t, row, col) gets D/2 angles for a head of D channels: half the head is split T:H:W = 4:6:6, and
within an axis of n angles, angle i is position · θ^(−i/n). The D/2 angles are laid out twice, [a_0 … a_{D/2−1}, a_0 … ],
but the rotation pairs neighbours, (x_0, x_1) → (−x_1, x_0). The two members of a pair therefore turn by *different* angles:
channel 2j uses a_{2j mod D/2} and channel 2j+1 uses a_{2j+1 mod D/2}. This is not a rotation: it does not keep lengths, and
scores do not depend on position differences alone. The weights were trained so; a "corrected" form would compute another model.

Nothing here is a buffer. The tables are a few multiplications from the configuration, so they cannot be lost in a load
through the meta device and cannot be rounded by `model.to(torch.bfloat16)`, two known accidents of non-persistent buffers.
"""

import torch

SPLIT = (4, 6, 6)  # published: sixteenths of half the head dimension for t, row, col


def rotary_tables(patch_positions: torch.Tensor, head_dim: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of every patch's angles.

    Args:
        patch_positions: integer [N, 3], source (t, row, col); rows grow downwards, columns to the right, from 0.
        head_dim: channels D of one attention head, a multiple of 32.
        theta: base of the geometric frequencies (10000, published).

    Returns:
        cos and sin, float32 [N, D].
    """
    axes = []
    for axis, share in enumerate(SPLIT):
        n = head_dim // 2 * share // sum(SPLIT)
        exponents = torch.arange(n, dtype=torch.float32, device=patch_positions.device) / n
        frequencies = 1.0 / theta**exponents
        axes.append(patch_positions[:, axis, None].float() * frequencies)
    angles = torch.cat(axes, dim=-1).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x·cos + J(x)·sin with J(x_0, x_1) = (−x_1, x_0) on neighbours, in float32, returned in the dtype of x.

    Args:
        x: [N, ..., D], queries, keys, or both stacked.
        cos, sin: float32 [N, D] of `rotary_tables`.
    """
    shape = (len(x), *[1] * (x.ndim - 2), -1)
    values, cos, sin = x.float(), cos.to(x.device), sin.to(x.device)
    swapped = values.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)  # (x_1, x_0): J's minus sign goes to the sine instead
    signs = torch.tensor([-1.0, 1.0], device=x.device)
    signed = (sin.unflatten(-1, (-1, 2)) * signs).view(shape)
    return (values * cos.view(shape) + swapped * signed).to(x.dtype)
