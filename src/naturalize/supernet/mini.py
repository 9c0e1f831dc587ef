"""`mini`: inverted residuals for images of 8 to 40 px."""

from naturalize.supernet.inverted_residuals import InvertedResiduals, Stage


def mini(resolutions: tuple[int, ...]) -> InvertedResiduals:
    """The family: 3 stages of 1 to 4 blocks; at most 12 M multiply-adds at 32 px."""
    return InvertedResiduals(
        name="mini",
        resolutions=resolutions,
        widths=(1.0,),
        width_codes=(0, 0),
        stem=16,
        stem_stride=1,
        first=0,
        first_activation="none",
        stages=(
            Stage(16, 4, 1, stride=2, activation="relu"),
            Stage(32, 4, 1, stride=2, activation="h_swish", squeeze_excite=True),
            Stage(80, 4, 1, stride=2, activation="h_swish", squeeze_excite=True),
        ),
        kernels=(3, 5),
        expansions=(2, 3, 4),
        final=320,
        mixed=256,
        activation="h_swish",
    )
