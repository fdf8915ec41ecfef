"""Values that change while a run trains: functions of the images shown, computed on the device.

A schedule waits for nothing and reads its count from a tensor, so a CUDA graph can replay it. A value that does not
change stays a Python number.

Source: Huang et al., "The GAN is dead; long live the GAN!", NeurIPS 2024, appendix (cosine schedules of learning rate,
penalty and augmentation over a burn-in, constant after it).
"""

import math

from torch import Tensor

Value = float | Tensor


def cosine(start: float, end: float, num_shown: Tensor, length_kimg: float) -> Value:
    """Move from `start` to `end` along half a cosine over the first `length_kimg` thousand images; constant after.

    `num_shown` is a scalar on the device. Halfway, the value is the mean of both; a constant is returned as a float.
    """
    if start == end:
        return start
    progress = (num_shown / (1000 * length_kimg)).clamp(max=1)
    return end + (start - end) * (1 + (math.pi * progress).cos()) / 2


def warm_up(value: Value, num_shown: Tensor, length_kimg: float) -> Value:
    """Raise a value linearly from 0 over the first `length_kimg` thousand images; 0: none.

    `num_shown` counts the images of the current step too, so the first value is above 0.
    """
    return (num_shown / (1000 * length_kimg)).clamp(max=1) * value if length_kimg else value
