"""Once-for-All MobileNetV3 (Cai et al., ICLR 2020), the supernets of NAT (section 4.1)."""

from naturalize.supernet.inverted_residuals import InvertedResiduals, Stage

STAGES = (
    Stage(24, 4, 2, stride=2, activation="relu"),
    Stage(40, 4, 2, stride=2, activation="relu", squeeze_excite=True),
    Stage(80, 4, 2, stride=2, activation="h_swish"),
    Stage(112, 4, 2, stride=1, activation="h_swish", squeeze_excite=True),
    Stage(160, 4, 2, stride=2, activation="h_swish", squeeze_excite=True),
)


def mobilenetv3(name: str, width_codes: tuple[int, int]) -> InvertedResiduals:
    """NAT's space: 17 resolutions, widths 1.0 and 1.2 with a body each, 5 stages of 2 to 4 blocks.

    Args:
        name: of the supernet.
        width_codes: the first and the last width that the space admits.
    """
    return InvertedResiduals(
        name=name,
        resolutions=tuple(range(192, 257, 4)),
        widths=(1.0, 1.2),
        width_codes=width_codes,
        stem=16,
        stem_stride=2,
        first=16,
        first_activation="relu",
        stages=STAGES,
        kernels=(3, 5, 7),
        expansions=(3, 4, 6),
        final=960,
        mixed=1280,
        activation="h_swish",
    )
