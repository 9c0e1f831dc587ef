"""EfficientNet-Lite0, made elastic (Tan and Le, ICML 2019; Lite drops squeeze-and-excite and takes ReLU6)."""

from naturalize.supernet.inverted_residuals import InvertedResiduals, Stage


def efficientnet_lite0(resolutions: tuple[int, ...]) -> InvertedResiduals:
    """The family. The published network is its largest architecture, with 3x3 kernels in the centre of 5x5 ones."""
    return InvertedResiduals(
        name="efficientnet-lite0",
        resolutions=resolutions,
        widths=(1.0,),
        width_codes=(0, 0),
        stem=32,
        stem_stride=2,
        first=16,
        first_activation="relu6",
        stages=(
            Stage(24, 2, 1, stride=2, activation="relu6"),
            Stage(40, 2, 1, stride=2, activation="relu6"),
            Stage(80, 3, 1, stride=2, activation="relu6"),
            Stage(112, 3, 1, stride=1, activation="relu6"),
            Stage(192, 4, 1, stride=2, activation="relu6"),
            Stage(320, 1, 1, stride=1, activation="relu6"),
        ),
        kernels=(3, 5),
        expansions=(2, 3, 4, 6),
        final=1280,
        mixed=0,
        activation="relu6",
        eps=1e-3,
        same=True,
        offsets=True,
    )
