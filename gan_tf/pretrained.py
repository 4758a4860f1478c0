"""The small generators that come with the repository, in pretrained/."""

from pathlib import Path
from typing import TYPE_CHECKING

from gan_tf.common.errors import InputError

if TYPE_CHECKING:  # TensorFlow, for which `import gan_tf` does not wait.
    import keras

FOLDER = Path(__file__).parent.parent / "pretrained"


def load_pretrained(name: str) -> "keras.Model":
    """The generator in pretrained/NAME: fives, digits, fashion or creatures.

    It maps latents (N, latent_dim), drawn from N(0, 1), to images (N, height, width, channels) in [-1, 1]. All but
    fives are conditional: there, a latent is followed by its label as a one-hot vector, which `gan_tf.gan.with_labels`
    appends; pretrained/README.md lists the labels. Raises InputError for a name that there is not.
    """
    from gan_tf.run.folder import Run

    names = sorted(path.parent.name for path in FOLDER.glob("*/generator.keras"))
    if not names:
        raise InputError(
            f"There is no {FOLDER}: the pretrained generators come with the repository, not with the package. Clone "
            "the repository and run your code there."
        )
    if name not in names:
        raise InputError(f"There is no pretrained generator {name!r}; there are {', '.join(names)}.")
    return Run.open(FOLDER / name).load_generator()
