"""Once-for-All ProxylessNAS (Cai et al., ICLR 2019 and 2020): MobileNetV2's blocks at width 1.3."""

from naturalize.supernet.inverted_residuals import InvertedResiduals, Stage


def proxyless() -> InvertedResiduals:
    """The family: 5 stages of 2 to 4 blocks and one of a single block, resolutions of 128 to 224 px."""
    return InvertedResiduals(
        name="ofa-proxyless-w1.3",
        resolutions=tuple(range(128, 225, 4)),
        widths=(1.3,),
        width_codes=(0, 0),
        stem=32,
        stem_stride=2,
        first=16,
        first_activation="relu6",
        stages=(
            Stage(24, 4, 2, stride=2, activation="relu6"),
            Stage(40, 4, 2, stride=2, activation="relu6"),
            Stage(80, 4, 2, stride=2, activation="relu6"),
            Stage(96, 4, 2, stride=1, activation="relu6"),
            Stage(192, 4, 2, stride=2, activation="relu6"),
            Stage(320, 1, 1, stride=1, activation="relu6"),
        ),
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        final=1280,
        mixed=0,
        activation="relu6",
        eps=1e-3,
    )
