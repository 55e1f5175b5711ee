"""Layers of VGG that recipes look at, and what stands in for the deep ones.

An encoder may end early: `compact`, or a file with the first layers of VGG-19, end at relu3_4.
Then the methods look at the layers below in place of those that are missing, one for one, so that
no two layers of the classic recipes become the same. The record and the page say so.
"""

from __future__ import annotations

RELU_1_TO_5 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

STAND_INS = {
    # for the content
    "relu4_2": "relu3_2",
    "conv4_2": "conv3_2",
    # for the style: beside 1_1, 2_1 and 3_1 as in Gatys et al., beside 1_2, 2_2, 3_3 as in Johnson
    "relu4_1": "relu3_2",
    "relu5_1": "relu3_4",
    "conv4_1": "conv3_2",
    "conv5_1": "conv3_4",
    "relu4_3": "relu3_4",
}
